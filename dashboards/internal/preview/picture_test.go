package preview

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a browser may take on a busy machine.
const patience = time.Minute

// overflows is a script for the panels that overlap and the elements whose contents
// do not fit, other than texts that end in an ellipsis.
const overflows = `(() => {
	const faults = [];
	const panels = [...document.querySelectorAll(".panel")];
	const boxes = panels.map((p) => p.getBoundingClientRect());
	boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, j) => {
		if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
			faults.push("panels " + i + " and " + (i + 1 + j) + " overlap");
	}));
	for (const e of document.querySelectorAll("body *")) {
		if (e.closest("svg") || e.tagName === "STYLE") continue;
		const style = getComputedStyle(e);
		if (style.textOverflow !== "ellipsis" && style.display !== "inline" && e.scrollWidth > e.clientWidth + 1)
			faults.push(e.className + " is " + e.clientWidth + " wide for " + e.scrollWidth + ": " + e.textContent.slice(0, 60));
		if (style.display !== "inline" && e.tagName !== "TH" && e.tagName !== "TD" && e.scrollHeight > e.clientHeight + 2 && style.overflow !== "visible")
			faults.push(e.className + " is " + e.clientHeight + " high for " + e.scrollHeight + ": " + e.textContent.slice(0, 60));
	}
	for (const [i, p] of panels.entries()) for (const t of p.querySelectorAll("text, .item, th, td, .label, .value, .foot, p, li")) {
		const a = t.getBoundingClientRect(), b = boxes[i];
		if (a.left < b.left || a.right > b.right || a.top < b.top || a.bottom > b.bottom)
			faults.push("text leaves panel " + i + ": " + t.textContent.slice(0, 60));
	}
	for (const svg of document.querySelectorAll(".panel svg")) for (const t of svg.querySelectorAll("text")) {
		const a = t.getBoundingClientRect(), b = svg.getBoundingClientRect();
		if (a.left < b.left - 0.5 || a.right > b.right + 0.5 || a.top < b.top - 1 || a.bottom > b.bottom + 1)
			faults.push("text leaves its drawing: " + t.textContent);
	}
	const labels = [...document.querySelectorAll("text.tick")];
	for (const svg of document.querySelectorAll(".panel svg")) {
		const all = [...svg.querySelectorAll("text.tick")].map((t) => [t.textContent, t.getBoundingClientRect()]);
		all.forEach(([s, a], i) => all.slice(i + 1).forEach(([u, b]) => {
			if (a.left < b.right - 1 && b.left < a.right - 1 && a.top + 3 < b.bottom - 3 && b.top + 3 < a.bottom - 3)
				faults.push("labels " + s + " and " + u + " overlap");
		}));
	}
	if (document.body.scrollWidth > 1600) faults.push("the page is " + document.body.scrollWidth + " wide");
	if (window.hacked !== undefined || document.scripts.length > 0) faults.push("what a document says became part of the page");
	return JSON.stringify(faults);
})()`

func TestPageInBrowser(t *testing.T) {
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), chromiumOptions()...)
	t.Cleanup(stop)
	tab, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(tab) // waits for the end of the browser
		cancel()
	})
	var mu sync.Mutex
	var complaints []any
	listen := func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch event.(type) {
		case *log.EventEntryAdded, *runtime.EventExceptionThrown, *runtime.EventConsoleAPICalled:
			complaints = append(complaints, event)
		}
	}
	if err := chromedp.Listen(tab, listen); err != nil {
		t.Fatalf("chromium: %v (make setup installs it)", err)
	}
	ctx, done := context.WithTimeout(tab, patience)
	defer done()
	if err := load(ctx, mustHTML(t)); err != nil {
		t.Fatal(err)
	}
	told, err := chromedp.Run(ctx, chromedp.Evaluate[string](overflows))
	if err != nil {
		t.Fatal(err)
	}
	var faults []string
	if err := json.Unmarshal([]byte(told), &faults); err != nil {
		t.Fatal(err)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
	_, d, _, _ := sample()
	if got, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.querySelectorAll(".panel").length`)); err != nil || got != len(d.Attributes.Panels.Value) {
		t.Errorf("%d panels, %v, want %d", got, err, len(d.Attributes.Panels.Value))
	}
	mu.Lock()
	defer mu.Unlock()
	for _, c := range complaints {
		t.Errorf("the browser complains: %+v", c)
	}
}

func TestPicture(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const source = "sha256:0123 – größer"
	picture, err := Picture(ctx, mustHTML(t), source)
	if err != nil {
		t.Fatalf("%v (make setup installs it)", err)
	}
	if got, ok := Source(picture); !ok || got != source {
		t.Errorf("the source is %q, %v", got, ok)
	}
	shot, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	if b := shot.Bounds(); b.Dx() != Width || b.Dy() < 1300 || b.Dy() > 1500 {
		t.Errorf("the picture is %d × %d", b.Dx(), b.Dy())
	}
	if len(picture) > 250_000 {
		t.Errorf("the picture has %d bytes", len(picture))
	}
}

func TestPictureEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Picture(ctx, nil, ""); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("the error is %v", err)
	}
}

// What is one colour stays it, whatever else a picture has.
func TestPalette(t *testing.T) {
	full := image.NewRGBA(image.Rect(0, 0, 300, 300))
	for x := range 300 {
		for y := range 300 {
			c := color.RGBA{R: uint8(x), G: uint8(y), B: uint8(x * y), A: 255} // thousands, each on a few pixels
			if y < 100 {
				c = color.RGBA{R: 0xf3, G: 0xf5, B: 0xf8, A: 255}
			}
			if y < 10 && x < 10 {
				c = color.RGBA{R: 0xc2, G: 0x2f, B: 0x1b, A: 255}
			}
			full.SetRGBA(x, y, c)
		}
	}
	small := paletted(full)
	if len(small.Palette) > 256 {
		t.Errorf("%d colours", len(small.Palette))
	}
	for _, at := range []image.Point{{5, 5}, {50, 50}, {299, 99}} {
		if got, want := color.RGBAModel.Convert(small.At(at.X, at.Y)), full.At(at.X, at.Y); got != want {
			t.Errorf("at %v it is %v, was %v", at, got, want)
		}
	}
	if !bytes.Equal(paletted(full).Pix, small.Pix) {
		t.Error("the same picture becomes different ones")
	}
}
