package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestNodeClient(t *testing.T) {
	dir := filepath.Join("testdata", "node")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "ws")); err != nil {
		t.Fatal("Node's ws is not installed: run make setup, or npm ci in examples/chat/testdata/node")
	}
	n := startNode(t, nil)
	ada := join(t, n.url, "Ada", "tea")

	cmd := exec.Command("node", "client.mjs")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CHAT_URL="+wsURL(n.url), "CHAT_TOKEN="+signIn(t, n.url, "Node"))
	steps, complaints := &logLines{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = steps, complaints
	if err := cmd.Start(); err != nil {
		t.Fatalf("node: %v (make setup installs it)", err)
	}
	exited := make(chan struct{})
	var exit error
	go func() {
		exit = cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has mostly ended by itself
		<-exited
		if exit != nil {
			t.Errorf("node: %v\n%s", exit, complaints)
		}
	})
	done := func(step string) {
		t.Helper()
		steps.wait(t, step, 1, func(l logLine) bool { return l["text"] == step })
	}
	done("refused")
	done("joined")
	ada.say("tea", "from Go")
	ada.expect(sayings("tea", "Ada", "from Go"))
	ada.expect(sayings("tea", "Node", "from Node"))
	done("talked")
	ada.Close()
	n.stop()
	done("dismissed")
	<-exited
}
