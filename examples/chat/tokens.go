package main

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apmws/go-apmws/apmws"
)

const (
	minSecret            = 32 // bytes (RFC 7518, section 3.2)
	issuer               = "apmws-chat"
	defaultAudience      = "apmws-chat"
	defaultTokenLifetime = 12 * time.Hour
)

// Why a handshake is refused for its token, in the log, the attributes and the
// metrics. The client is told that its sign-in is not valid, and no more.
const (
	tokenMissing   = "token_missing"
	tokenMalformed = "token_malformed" // no JWT
	tokenExpired   = "token_expired"   // and good otherwise
	tokenAudience  = "token_audience"  // issued for another service
	tokenInvalid   = "token_invalid"   // the signature, and all else
)

func tokenReasons() []string {
	return []string{tokenMissing, tokenMalformed, tokenExpired, tokenAudience, tokenInvalid}
}

// identity is what a token says.
type identity struct {
	user    string
	expires time.Time // zero: never
}

// tokens issues and verifies JWTs, signed with HMAC-SHA-256.
type tokens struct {
	secret   []byte
	audience string        // the service that tokens are for
	lifetime time.Duration // of those that it issues
}

func (t tokens) issue(user string) (string, error) {
	now := time.Now()
	expires := now.Add(t.lifetime + time.Second - 1) // a token has whole seconds: no less than was promised
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{t.audience}, Subject: user,
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
	}).SignedString(t.secret)
}

// verify returns what a token says. Its errors refuse a handshake, each with its
// reason, and hold nothing of the token.
func (t tokens) verify(_ context.Context, token string) (identity, error) {
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(token, &claims,
		func(*jwt.Token) (any, error) { return t.secret, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(issuer), jwt.WithAudience(t.audience), jwt.WithExpirationRequired())
	if err != nil {
		return identity{}, refuseToken(t.wrongWith(&claims, err))
	}
	if !validName(claims.Subject) {
		return identity{}, refuseToken(tokenInvalid)
	}
	return identity{claims.Subject, claims.ExpiresAt.Time}, nil
}

// wrongWith returns the reason for which a token is refused. Of several it is the
// one that a new token would not mend.
func (t tokens) wrongWith(claims *jwt.RegisteredClaims, err error) string {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return tokenMalformed
	case !errors.Is(err, jwt.ErrTokenInvalidClaims), claims.Issuer != issuer:
		return tokenInvalid
	case !slices.Contains(claims.Audience, t.audience):
		return tokenAudience
	case errors.Is(err, jwt.ErrTokenExpired):
		return tokenExpired
	default:
		return tokenInvalid
	}
}

func refuseToken(reason string) error { return apmws.Refuse(http.StatusUnauthorized, reason) }
