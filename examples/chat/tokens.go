package main

import (
	"context"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	issuer        = "apmws-chat"
	tokenLifetime = 12 * time.Hour
)

// tokens issues and verifies JWTs, signed with HMAC-SHA-256.
type tokens struct{ secret []byte }

func (t tokens) issue(user string) (string, error) {
	now := time.Now()
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer: issuer, Subject: user,
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(tokenLifetime)),
	}).SignedString(t.secret)
}

// verify returns the user whom a token was issued to. Its errors hold nothing
// of the token.
func (t tokens) verify(_ context.Context, token string) (string, error) {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(token, &claims,
		func(*jwt.Token) (any, error) { return t.secret, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(issuer), jwt.WithExpirationRequired())
	if err != nil {
		return "", errBadToken
	}
	if !validName(claims.Subject) {
		return "", errBadToken
	}
	return claims.Subject, nil
}

var errBadToken = errors.New("chat: the token is not valid")
