package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// tab is a tab of a real browser. All that a person would see in the console as
// an error is kept in complaints.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
}

// startBrowser starts a browser of its own, with an empty profile, on a page.
func startBrowser(t *testing.T, url string) *tab {
	t.Helper()
	opts := []chromedp.ExecAllocatorOption{
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.IgnoreCertErrors, chromedp.WindowSize(1100, 800), chromedp.WSURLReadTimeout(patience),
	}
	for _, what := range []string{"quic", "background-networking", "component-update", "sync", "extensions", "dev-shm-usage"} {
		opts = append(opts, chromedp.Flag("disable-"+what, true))
	}
	allocator, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), opts...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the end of the browser
		cancel()
		stop()
	})
	return open(ctx, t, url)
}

// startPrepared does the same, with a script that runs before those of the page.
func startPrepared(t *testing.T, url, script string) *tab {
	t.Helper()
	b := startBrowser(t, "about:blank")
	before := page.AddScriptToEvaluateOnNewDocumentParams{Source: script}
	if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, before); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Navigate(url))
	return b
}

// offline takes a tab's network away, or gives it back: while the page knows of it, so
// that it neither loses a connection nor tries one by itself.
func (b *tab) offline(is bool) {
	b.t.Helper()
	if is {
		b.tellOffline(true)
		b.until(`document.querySelector("#status").className === "offline"`)
		b.cutOff(true)
		return
	}
	b.cutOff(false)
	b.tellOffline(false)
}

func (b *tab) tellOffline(is bool) {
	b.t.Helper()
	state := network.OverrideNetworkStateParams{Offline: is, DownloadThroughput: -1, UploadThroughput: -1}
	if _, err := chromedp.Call(b.ctx, network.OverrideNetworkState, state); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) cutOff(is bool) {
	b.t.Helper()
	all := network.Conditions{Offline: is, DownloadThroughput: -1, UploadThroughput: -1}
	rule := network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{&all}}
	if _, err := chromedp.Call(b.ctx, network.EmulateNetworkConditionsByRule, rule); err != nil {
		b.t.Fatal(err)
	}
}

// newTab opens a page in another tab of the same browser.
func (b *tab) newTab(url string) *tab {
	b.t.Helper()
	ctx, cancel := chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	return open(ctx, b.t, url)
}

func open(ctx context.Context, t *testing.T, url string) *tab {
	t.Helper()
	b := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("chromium: %v (make setup installs it)", err)
	}
	tellViolations := page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `addEventListener("securitypolicyviolation", (e) => console.error("CSP", e.violatedDirective, e.blockedURI))`,
	}
	if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, tellViolations); err != nil {
		t.Fatal(err)
	}
	b.do(chromedp.Navigate(url))
	return b
}

// listen is called for all that happens in the tab, in its order.
func (b *tab) listen(event any) {
	complaint := ""
	switch e := event.(type) {
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
			complaint = fmt.Sprint(e.Entry.Source, " ", e.Entry.Text, " ", e.Entry.URL)
		}
	case *runtime.EventExceptionThrown:
		complaint = e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			complaint += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			for _, arg := range e.Args {
				complaint += string(arg.Value) + " "
			}
		}
	}
	if complaint != "" {
		b.mu.Lock()
		b.complaints = append(b.complaints, complaint)
		b.mu.Unlock()
	}
}

// expectNoComplaints checks the console, but for what contains one of allowed.
func (b *tab) expectNoComplaints(allowed ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
next:
	for _, complaint := range b.complaints {
		for _, part := range allowed {
			if strings.Contains(complaint, part) {
				continue next
			}
		}
		b.t.Errorf("the browser complains: %s", complaint)
	}
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// eval evaluates a JavaScript expression, and waits for it if it is a promise.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// until waits until a JavaScript expression is true.
func (b *tab) until(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if eval[bool](b, "Boolean("+expression+")") {
			return
		}
	}
	b.t.Fatalf("it never came true that %s; the page shows\n%s", expression, eval[string](b, "document.body.innerText"))
}

// enter fills the form of the entrance with keys alone.
func (b *tab) enter(user, room string) {
	b.t.Helper()
	b.until(`!document.querySelector("#entrance").hidden`)
	eval[string](b, `document.querySelector("#user").value = document.querySelector("#room").value = ""`)
	b.do(chromedp.SendKeys(chromedp.CSS("#user"), user), chromedp.SendKeys(chromedp.CSS("#room"), room+kb.Enter))
}

func (b *tab) untilConnected(user string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelector("#status").textContent === %q`, "Connected as "+user))
}

// untilLogged waits for a notice among the messages.
func (b *tab) untilLogged(notice string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`[...document.querySelectorAll(".notice")].some((n) => n.textContent.includes(%q))`, notice))
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

// write types a message, and does not send it.
func (b *tab) write(text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS("#text"), text))
}

// say types a message and presses Enter.
func (b *tab) say(text string) {
	b.t.Helper()
	b.write(text)
	// One event, of which the browser makes no character when the page has
	// taken it; SendKeys would send that too.
	press := input.DispatchKeyEventParams{
		Type: input.DispatchKeyEventTypeKeyDown, Key: "Enter", Code: "Enter", Text: "\r", WindowsVirtualKeyCode: 13,
	}
	if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, press); err != nil {
		b.t.Fatal(err)
	}
}

// untilSaid waits for the newest message to be this one.
func (b *tab) untilSaid(author, text string) {
	b.t.Helper()
	b.until(fmt.Sprintf(`(() => {
		const last = [...document.querySelectorAll(".message")].at(-1);
		return last?.querySelector(".author").textContent === %q && last.querySelector(".text").textContent === %q;
	})()`, author, text))
}

// untouched checks that what people chose became no part of the page.
func (b *tab) untouched() {
	b.t.Helper()
	if !eval[bool](b, `window.hacked === undefined && document.querySelectorAll("img[src=x]").length === 0`) {
		b.t.Error("what a person wrote became part of a page")
	}
}
