package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/chromedp/chromedp"
)

const (
	width     = 1600 // of the window, in CSS pixels
	height    = 2400 // at first; Kibana may leave out what is far below it
	poll      = 250 * time.Millisecond
	loginWait = time.Minute // for signing in
	calm      = 4           // times in a row that all must be complete: one panel may start another
)

// browser is a browser of its own, with an empty profile.
type browser struct {
	ctx  context.Context
	stop func() // waits for its end
}

// startBrowser starts it; ctx ends it.
func startBrowser(ctx context.Context) (*browser, error) {
	opts := []chromedp.ExecAllocatorOption{
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.WindowSize(width, height),
	}
	for _, what := range []string{"quic", "background-networking", "component-update", "sync", "extensions", "dev-shm-usage"} {
		opts = append(opts, chromedp.Flag("disable-"+what, true))
	}
	allocator, stop := chromedp.NewExecAllocator(ctx, opts...)
	tab, cancel := chromedp.NewContext(allocator)
	b := &browser{ctx: tab, stop: func() {
		_ = chromedp.Cancel(tab) // it may have been stopped by ctx
		cancel()
		stop()
	}}
	// The first action starts it, and its context is the browser's: not one with
	// the time for a single page.
	if err := chromedp.Do(tab); err != nil {
		b.stop()
		return nil, err
	}
	return b, nil
}

// login signs in by the form, as a person does.
func (b *browser) login(s settings) error {
	ctx, cancel := context.WithTimeout(b.ctx, loginWait)
	defer cancel()
	const field = `[data-test-subj="%s"]`
	if err := chromedp.Do(ctx, chromedp.Navigate(s.kibana+"/login")); err != nil {
		return err
	}
	if err := chromedp.Do(ctx,
		chromedp.SendKeys(chromedp.CSS(fmt.Sprintf(field, "loginUsername")), s.user),
		chromedp.SendKeys(chromedp.CSS(fmt.Sprintf(field, "loginPassword")), s.password),
		chromedp.Click(chromedp.CSS(fmt.Sprintf(field, "loginSubmit"))),
	); err != nil {
		return fmt.Errorf("there is no form: %w", err)
	}
	const state = `document.querySelector('[data-test-subj="loginErrorMessage"]')?.innerText || (location.pathname.endsWith("/login") ? "waiting" : "")`
	for {
		answer, err := chromedp.Run(ctx, chromedp.Evaluate[string](state))
		switch {
		case ctx.Err() != nil:
			return errors.New("no answer from Kibana")
		case err != nil: // the page is being changed
		case answer == "":
			return nil
		case answer != "waiting":
			return errors.New(answer)
		}
		pause(ctx)
	}
}

// look opens a dashboard, waits until all its panels are complete, takes its
// picture, and returns the panels.
func (b *browser) look(s settings, id string) ([]panel, error) {
	ctx, cancel := context.WithTimeout(b.ctx, s.wait)
	defer cancel()
	// Another page in between: from one dashboard to the next only the fragment
	// changes, which is no navigation.
	if err := chromedp.Do(ctx,
		chromedp.Navigate("about:blank"),
		chromedp.EmulateViewport(width, height),
		chromedp.Navigate(s.address(id)),
	); err != nil {
		return nil, err
	}
	seen, err := b.settle(ctx)
	if err == nil && seen.Height > height {
		// What came into the window may be drawn only now.
		if err = chromedp.Do(ctx, chromedp.EmulateViewport(width, int64(seen.Height)+50)); err == nil {
			seen, err = b.settle(ctx)
		}
	}
	return seen.Panels, errors.Join(err, b.picture(s, id))
}

// settle waits until all panels are complete, and returns what the page shows.
func (b *browser) settle(ctx context.Context) (page, error) {
	var last page
	for complete := 0; complete < calm; pause(ctx) {
		now, err := chromedp.Run(ctx, chromedp.Evaluate[page](inspect))
		switch {
		case ctx.Err() != nil && last.Expected < 0:
			return page{}, fmt.Errorf("there is no dashboard; the page says: %s", last.Text)
		case ctx.Err() != nil:
			return page{}, fmt.Errorf("%d of %d panels after all the time, not complete: %s", len(last.Panels), last.Expected, last.unfinished())
		case err != nil: // the page is being changed
			complete = 0
		default:
			last = now
			complete++
			if !now.done() {
				complete = 0
			}
		}
	}
	return last, nil
}

// picture keeps what is in the window, complete or not.
func (b *browser) picture(s settings, id string) error {
	if s.pictures == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(b.ctx, s.wait)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return fmt.Errorf("no picture: %w", err)
	}
	if err := os.MkdirAll(s.pictures, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.pictures, filepath.Base(id)+".png"), png, 0o644)
}

// pause waits for the next poll, or the end of ctx.
func pause(ctx context.Context) {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
