package main

import "context"

// budget3 is the cost of recording every message.
func budget3(ctx context.Context, s settings) (*table, error) {
	t := &table{Title: "Budget 3: everything traced, Elastic 1.0, with counters"}
	if err := tracedCost(ctx, s, t); err != nil {
		return nil, err
	}
	if err := tracedLoops(ctx, s, t); err != nil {
		return nil, err
	}
	if err := stallFigures(ctx, s, t); err != nil {
		return nil, err
	}
	t.note("By hand is a transaction with the same labels and link, without counters and log lines; with all of that it is 0.42.")
	return t, nil
}

// tracedCost compares servers.
func tracedCost(ctx context.Context, s settings, t *table) error {
	var cs children
	defer cs.stop()
	intake, err := cs.start(ctx, childSpec{Role: intakeRole})
	if err != nil {
		return err
	}
	all, err := contestants(ctx, &cs, s, []entry{
		{"plain", serverSpec{Echo: echoPlain}},
		{"transaction by hand", serverSpec{Echo: echoByHand, Intake: intake.Address}},
		{"Serve", serverSpec{Echo: echoServe, Intake: intake.Address}},
		{"transaction and span by hand", serverSpec{Echo: echoByHandSpan, Intake: intake.Address}},
		{"Serve and Conn.Write, which is a span", serverSpec{Echo: echoWrite, Intake: intake.Address}},
	})
	if err != nil {
		return err
	}
	defer closeLoads(all)
	if err := compareServers(all, s); err != nil {
		return err
	}
	t.add(absolutes(all[0])...)
	for i, c := range all[1:] {
		rate := noLimit
		if i%2 == 1 { // ours
			rate = atLeast(0.60)
			if err := checkHandled(c, s); err != nil {
				return err
			}
		}
		t.add(against(all[0], c, rate, noLimit)...)
	}
	return nil
}

// tracedLoops compares the caller's time.
func tracedLoops(ctx context.Context, s settings, t *table) error {
	m, err := startChild(ctx, childSpec{Role: memoryRole})
	if err != nil {
		return err
	}
	defer m.stop()
	costs, err := compareLoops(m, []string{pooled, elasticByHand, elasticServe}, s.rounds, s.loop/2, messageSize)
	if err != nil {
		return err
	}
	byHand, ours, bare := costs[elasticByHand], costs[elasticServe], costs[pooled]
	t.add(
		signed(median("caller's time, transaction by hand, beyond the pooled loop",
			combine(byHand.nanoseconds, bare.nanoseconds, difference), nanoseconds, noLimit)),
		signed(median("caller's time, Serve, beyond the transaction by hand",
			combine(ours.nanoseconds, byHand.nanoseconds, difference), nanoseconds, atMost(200, nanoseconds))),
		signed(median("allocations, transaction by hand, beyond the pooled loop",
			combine(byHand.allocs, bare.allocs, difference), allocations, noLimit)),
		// Elastic's agent allocates meanwhile, more or less.
		signed(median("allocations, Serve, beyond the transaction by hand",
			combine(ours.allocs, byHand.allocs, difference), allocations,
			limit{"≤ 2", func(v float64) bool { return v <= 2.1 }})),
	)
	return nil
}
