package main

import (
	"context"
	"runtime"
)

// budget4 is the memory of an idle connection.
func budget4(ctx context.Context, s settings) (*table, error) {
	t := &table{Title: "Budget 4: memory of an idle connection after a garbage collection"}
	files, err := openFiles()
	if err != nil {
		return nil, err
	}
	count := min(s.idle, files-100)
	if count < s.idle {
		t.note("%d connections instead of %d: a process may open %d files here.", count, s.idle, files)
	}
	what := "resident"
	if runtime.GOOS != "linux" {
		what = "heap and stacks"
		t.note("Resident memory can be measured on Linux alone: the figures are those of heap and stacks, which are less.")
	}
	plain, err := idleCost(ctx, count, echoPlain)
	if err != nil {
		return nil, err
	}
	handler, err := idleCost(ctx, count, echoHandler)
	if err != nil {
		return nil, err
	}
	endpoint, err := idleCost(ctx, count, echoEndpoint)
	if err != nil {
		return nil, err
	}
	t.add(
		single("plain gorilla: "+what, plain.idle, bytesEach, noLimit),
		signed(single("Agent.Handler, beyond plain: "+what, handler.idle-plain.idle, bytesEach, atMost(512, bytesEach))),
		single("Agent.Endpoint: "+what, endpoint.idle, bytesEach, atMost(7.5*1024, bytesEach)),
		single("plain gorilla, after a message: "+what, plain.used, bytesEach, noLimit),
		signed(single("Agent.Handler, after a message, beyond plain: "+what, handler.used-plain.used, bytesEach, noLimit)),
		single("Agent.Endpoint, after a message: "+what, endpoint.used, bytesEach, noLimit),
	)
	if runtime.GOOS == "linux" {
		t.add(
			single("plain gorilla: heap and stacks", plain.heap, bytesEach, noLimit),
			signed(single("Agent.Handler, beyond plain: heap and stacks", handler.heap-plain.heap, bytesEach, noLimit)),
			single("Agent.Endpoint: heap and stacks", endpoint.heap, bytesEach, noLimit),
		)
	}
	t.note("%d connections over loopback; the client is a process of its own.", count)
	return t, nil
}

// connCost is the memory of a connection, in bytes.
type connCost struct {
	idle float64 // when it has been opened
	used float64 // when a message has been echoed on it
	heap float64 // as idle, heap and stacks
}

// idleCost measures a server with so many connections and without.
func idleCost(ctx context.Context, count int, way echo) (c connCost, err error) {
	var cs children
	defer cs.stop()
	server, err := cs.start(ctx, childSpec{Role: serverRole, Server: serverSpec{Echo: way}})
	if err != nil {
		return c, err
	}
	// What is made once, such as pools and stacks, is made before.
	warm, err := dialLoad(ctx, server.Address, 10, 1)
	if err != nil {
		return c, err
	}
	_, err = warm.closedLoop(1)
	warm.close()
	if err != nil {
		return c, err
	}
	empty, err := server.ask(request{Do: doMemory})
	if err != nil {
		return c, err
	}
	client, err := cs.start(ctx, childSpec{Role: clientRole})
	if err != nil {
		return c, err
	}
	if _, err := client.ask(request{Do: doOpen, Count: count, Address: server.Address}); err != nil {
		return c, err
	}
	each := func() (resident, heap float64, err error) {
		full, err := server.ask(request{Do: doMemory})
		heap = float64(full.Heap-empty.Heap) / float64(count)
		if full.RSS == 0 {
			return heap, heap, err
		}
		return float64(full.RSS-empty.RSS) / float64(count), heap, err
	}
	if c.idle, c.heap, err = each(); err != nil {
		return c, err
	}
	if _, err := client.ask(request{Do: doSay}); err != nil {
		return c, err
	}
	c.used, _, err = each()
	return c, err
}
