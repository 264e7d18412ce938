package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// table is what was measured for one budget.
type table struct {
	Title   string
	Figures []figure
	Notes   []string
}

func (t *table) add(figures ...figure) { t.Figures = append(t.Figures, figures...) }

func (t *table) note(format string, args ...any) {
	t.Notes = append(t.Notes, fmt.Sprintf(format, args...))
}

// print writes the table. Quartiles are left out where there is one value.
func (t *table) print(out io.Writer) error {
	fmt.Fprintln(out, t.Title)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  what\tlimit\tmeasured\tquartiles\t")
	for _, f := range t.Figures {
		spread := ""
		if f.Low != f.High {
			spread = format(f.Low, f.Unit) + " – " + format(f.High, f.Unit)
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\n", f.What, f.Limit.text, format(f.Value, f.Unit), spread, f.verdict())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, note := range t.Notes {
		fmt.Fprintln(out, "  * "+note)
	}
	fmt.Fprintln(out)
	return nil
}
