//go:build linux

package main

import (
	"fmt"
	"io"
	"strings"
)

// table writes a Markdown table below a sentence that says what it is.
func table(out io.Writer, about string, head []string, rows [][]string) {
	fmt.Fprintf(out, "\n%s\n\n| %s |\n|%s\n", about, strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, row := range rows {
		fmt.Fprintf(out, "| %s |\n", strings.Join(row, " | "))
	}
}

func number[N int | int64 | uint64 | float64](n N) string { return fmt.Sprintf("%.0f", float64(n)) }
