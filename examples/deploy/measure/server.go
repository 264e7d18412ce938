//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"math/big"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"github.com/apmws/go-apmws/apmws"
)

// listening is the first line of a server.
type listening struct {
	Addr string
	PEM  []byte // its certificate, when it serves TLS
}

// taken is what a server's process has.
type taken struct {
	RSS         int64 // bytes that are resident
	Live        uint64
	Stacks      uint64
	Descriptors int
	CPU         time.Duration // since the start, user and system
	Collection  time.Duration // the processor time of a garbage collection
}

// serveChild serves WebSockets, and answers each line that it reads with what its
// process has: "now" as it is, "collected" after a garbage collection that gave all
// free memory back.
func serveChild(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	kind := flags.String("kind", "endpoint", "")
	buffer := flags.Int("read-buffer", 0, "")
	key := flags.String("tls", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	hello := listening{Addr: ln.Addr().String()}
	if *key != "" {
		certificate, err := newCertificate(*key)
		if err != nil {
			return err
		}
		hello.PEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	}
	server := &http.Server{Handler: handler(*kind, *buffer), ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(ln) }()
	answers := json.NewEncoder(os.Stdout)
	if err := answers.Encode(hello); err != nil {
		return err
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var now taken
		if lines.Text() == "collected" {
			runtime.GC() // the first one may find another under way
			began, err := processorTime()
			if err != nil {
				return err
			}
			runtime.GC()
			ended, err := processorTime()
			if err != nil {
				return err
			}
			now.Collection = ended - began
			debug.FreeOSMemory()
		}
		if err := now.read(); err != nil {
			return err
		}
		if err := answers.Encode(now); err != nil {
			return err
		}
	}
	return nil
}

// handler serves /ws by apmws, alone or with a goroutine for each connection that waits
// for what to write, or by a usual read loop in the handler.
func handler(kind string, readBuffer int) http.Handler {
	upgrader := websocket.Upgrader{ReadBufferSize: readBuffer}
	opts := apmws.EndpointOptions{
		Upgrader: upgrader,
		Message:  func(context.Context, apmws.Message) error { return nil },
	}
	switch kind {
	case "endpoint":
		return apmws.New(apmws.Options{}).Endpoint("/ws", opts)
	case "writer":
		opts.Connect = func(ctx context.Context, conn *apmws.Conn) (context.Context, error) {
			queue := make(chan []byte, 256)
			go func() {
				for {
					select {
					case message := <-queue:
						if conn.Write(ctx, websocket.TextMessage, message) != nil {
							return
						}
					case <-ctx.Done():
						return
					}
				}
			}()
			return context.WithValue(ctx, queueKey{}, queue), nil
		}
		return apmws.New(apmws.Options{}).Endpoint("/ws", opts)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for err == nil {
			_, _, err = conn.ReadMessage()
		}
	})
}

type queueKey struct{}

func (t *taken) read() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		size, _ := strconv.ParseInt(fields[1], 10, 64)
		if fields[0] == "VmRSS:" {
			t.RSS = size << 10
		}
	}
	if t.RSS == 0 {
		return errors.New("/proc/self/status does not say VmRSS")
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	t.Descriptors = len(open)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Live, t.Stacks = memory.HeapAlloc, memory.StackInuse
	t.CPU, err = processorTime()
	return err
}

func processorTime() (time.Duration, error) {
	var usage syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), err
}

// newCertificate makes one for 127.0.0.1, with a key of the kind P-256 or RSA-2048.
func newCertificate(kind string) (tls.Certificate, error) {
	var private any
	var public any
	if kind == "RSA-2048" {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return tls.Certificate{}, err
		}
		private, public = key, &key.PublicKey
	} else {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return tls.Certificate{}, err
		}
		private, public = key, &key.PublicKey
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, err
}
