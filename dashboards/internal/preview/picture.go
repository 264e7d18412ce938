package preview

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image/png"

	"github.com/chromedp/chromedp"
)

// Picture takes a screenshot of a whole page in headless Chromium, 1600 pixels wide,
// and returns it as PNG with a text chunk that names its source. It starts a browser
// of its own and ends it. Without an installed Chromium it is an error.
func Picture(ctx context.Context, html []byte, source string) ([]byte, error) {
	allocator, stop := chromedp.NewExecAllocator(ctx, chromiumOptions()...)
	defer stop()
	tab, cancel := chromedp.NewContext(allocator)
	defer cancel()
	if err := load(tab, html); err != nil {
		return nil, fmt.Errorf("chromium: %w", err)
	}
	shot, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
	if err != nil {
		return nil, fmt.Errorf("chromium: %w", err)
	}
	if err := chromedp.Cancel(tab); err != nil {
		return nil, fmt.Errorf("chromium: %w", err)
	}
	// The browser's own files are made fast, not small.
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		return nil, err
	}
	var small bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&small, paletted(picture)); err != nil {
		return nil, err
	}
	return withSource(small.Bytes(), source)
}

// chromiumOptions start a browser without a window that needs nothing from outside.
func chromiumOptions() []chromedp.ExecAllocatorOption {
	opts := []chromedp.ExecAllocatorOption{
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.WindowSize(Width, 1000), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("force-color-profile", "srgb"),
	}
	for _, what := range []string{"background-networking", "component-update", "sync", "extensions", "dev-shm-usage", "lcd-text"} {
		opts = append(opts, chromedp.Flag("disable-"+what, true))
	}
	return opts
}

// load shows a page in a tab.
func load(tab context.Context, html []byte) error {
	address := "data:text/html;charset=utf-8;base64," + base64.StdEncoding.EncodeToString(html)
	return chromedp.Do(tab, chromedp.EmulateViewport(Width, 1000), chromedp.Navigate(address))
}
