package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	none := func(string) string { return "" }
	cfg, err := configFrom(nil, none, io.Discard)
	if err != nil || cfg.addr != "127.0.0.1:8080" || cfg.tls || cfg.pretty || cfg.debug || cfg.exposeLive || cfg.exposeMetrics || cfg.elastic != "" || cfg.newRelic != "" ||
		cfg.maxAge != time.Hour || cfg.drain != 20*time.Second || cfg.redisURL != "" || len(cfg.secret) != 0 || cfg.service != "apmws-chat" || cfg.environment != "development" {
		t.Errorf("the defaults are %+v (%v)", cfg, err)
	}
	env := map[string]string{
		"ELASTIC_APM_SERVER_URL": "http://127.0.0.1:8200", "ELASTIC_APM_SERVICE_NAME": "my.service", "ELASTIC_APM_ENVIRONMENT": "e",
		"NEW_RELIC_LICENSE_KEY": "key", "REDIS_URL": "redis://r", "CHAT_JWT_SECRET": crowdSecret, "CHAT_JWT_AUDIENCE": "aud",
	}
	args := []string{"-addr", ":1", "-pretty", "-debug", "-expose-live", "-expose-metrics", "-cert", "c", "-key", "k", "-max-age", "0", "-drain", "5s"}
	cfg, err = configFrom(args, func(name string) string { return env[name] }, io.Discard)
	if err != nil || cfg.addr != ":1" || !cfg.tls || cfg.certFile != "c" || cfg.keyFile != "k" || !cfg.pretty || !cfg.debug ||
		!cfg.exposeLive || !cfg.exposeMetrics || cfg.maxAge != 0 || cfg.drain != 5*time.Second || cfg.elastic != "http://127.0.0.1:8200" || cfg.newRelic != "key" || cfg.redisURL != "redis://r" || string(cfg.secret) != crowdSecret || cfg.audience != "aud" || cfg.service != "my_service" || cfg.environment != "e" {
		t.Errorf("all set: %+v (%v)", cfg, err)
	}
	env["ELASTIC_APM_SERVER_URLS"] = "http://a,http://b"
	if cfg, err = configFrom(nil, func(name string) string { return env[name] }, io.Discard); err != nil || cfg.elastic != "http://a,http://b" {
		t.Errorf("of the URL and the URLs it takes %q (%v)", cfg.elastic, err)
	}
	if cfg, err = configFrom([]string{"-trusted-proxies", "10.0.0.0/8, ::1,192.0.2.7"}, none, io.Discard); err != nil ||
		fmt.Sprint(cfg.trustedProxies) != "[10.0.0.0/8 ::1/128 192.0.2.7/32]" {
		t.Errorf("the proxies are %v (%v)", cfg.trustedProxies, err)
	}
	for value, want := range map[string]string{"-incident": incidentBug, "-incident=fixed": incidentFixed} {
		if cfg, err = configFrom([]string{value}, none, io.Discard); err != nil || cfg.incident != want {
			t.Errorf("%s is %q (%v)", value, cfg.incident, err)
		}
	}
	env["CHAT_JWT_SECRET"] = crowdSecret[1:]
	if _, err = configFrom(nil, func(name string) string { return env[name] }, io.Discard); err == nil || strings.Contains(err.Error(), env["CHAT_JWT_SECRET"]) {
		t.Errorf("of a secret that is too short it says %v", err)
	}
	for _, args := range [][]string{{"-incident=x"}, {"-incident", "-tls"}, {"-incident", "fixed"}, {"-trusted-proxies", ""}, {"-trusted-proxies", "10.0.0.0/8,proxy"}, {"stray"}, {"-max-age", "-1s"}, {"-max-age", "soon"}, {"-drain", "0"}, {"-drain", "-1s"}, {"-cert", "c"}, {"-key", "k"}, {"-addr"}, {"-nope"}} {
		if cfg, err := configFrom(args, none, io.Discard); err == nil {
			t.Errorf("%v is taken as %+v", args, cfg)
		}
	}
}

func TestWithoutSecrets(t *testing.T) {
	got := withoutSecrets("https://user:pass-word@a:8200/p?key=pass-word#pass-word, http://b,http://user:pass-word@[::1")
	if got != "https://a:8200/p,http://b" {
		t.Errorf("it shows %q", got)
	}
}

func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:80": "127.0.0.1:80", "[::1]:80": "[::1]:80", "0.0.0.0:80": "localhost:80", "[::]:80": "localhost:80", "192.0.2.1:80": "192.0.2.1:80",
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(tcp); got != want {
			t.Errorf("%s is reachable as %s, want %s", addr, got, want)
		}
	}
}

// The certificate made in memory is good for the names by which the server is
// reached; one from files is used as it is.
func TestCertificates(t *testing.T) {
	made, err := makeCertificate("chat.example:443")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(made.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "chat.example"} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if left := time.Until(leaf.NotAfter); left < 24*time.Hour || left > 40*24*time.Hour {
		t.Errorf("good for %v", left)
	}

	key, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: made.Certificate[0]}, keyFile: {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := startNode(t, func(cfg *config) { cfg.tls, cfg.certFile, cfg.keyFile = true, certFile, keyFile })
	_, port, err := net.SplitHostPort(n.url[len("https://") : len(n.url)-1])
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: roots, ServerName: "chat.example"})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
