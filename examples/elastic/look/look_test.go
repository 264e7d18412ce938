package main

import (
	"bytes"
	"fmt"
	"html"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The password has what a form and a URL would change.
const password = `p & "q"`

// kibana is a stand-in with Kibana's login form, and a page for dashboards whose
// panels are those of its script.
func kibana(t *testing.T, panels map[string]string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!doctype html><form onsubmit="event.preventDefault(); enter()">
			<input data-test-subj="loginUsername"><input type="password" data-test-subj="loginPassword">
			<button data-test-subj="loginSubmit">Log in</button><p hidden></p></form>
			<script>
			// The form comes late, as it does in a page that is drawn by a script.
			const form = document.forms[0]; form.hidden = true;
			setTimeout(() => { form.hidden = false }, 300);
			async function enter() {
				const [user, password] = form.querySelectorAll("input");
				const answer = await fetch("/session", {method: "POST", body: JSON.stringify([user.value, password.value])});
				if (answer.ok) { location = "/app/home"; return }
				const p = form.querySelector("p");
				p.dataset.testSubj = "loginErrorMessage"; p.hidden = false; p.textContent = "Username or password is incorrect.";
			}
			</script>`)
	})
	mux.HandleFunc("POST /session", func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		if _, err := body.ReadFrom(r.Body); err != nil || body.String() != `["elastic","p & \"q\""]` {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: "1", Path: "/"})
	})
	mux.HandleFunc("GET /app/home", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /app/dashboards", func(w http.ResponseWriter, r *http.Request) {
		if cookie, err := r.Cookie("sid"); err != nil || cookie.Value != "1" {
			http.Redirect(w, r, "/login", http.StatusFound)
			return
		}
		fmt.Fprint(w, `<!doctype html><style>.embPanel { height: 300px } [hidden] { display: none }</style><body>
			<p>Loading Elastic</p><script>
			const [, id, query] = location.hash.match(/^#\/view\/([^?]+)\?(.*)$/);
			if (query !== "_g=(refreshInterval:(pause:!t,value:0),time:(from:now-120m,to:now))") throw query;
			const boards = {};`)
		for id, script := range panels {
			fmt.Fprintf(w, "boards[%q] = %s;\n", id, script)
		}
		fmt.Fprint(w, `
			setTimeout(() => {
				const panels = boards[id];
				if (panels === undefined) { document.body.innerHTML = "<p>No dashboards yet</p>"; return }
				document.body.innerHTML = '<div data-shared-items-container data-title="Board"></div>';
				const container = document.body.firstChild;
				container.dataset.sharedItemsCount = panels.length;
				panels.forEach((panel, n) => setTimeout(() => container.insertAdjacentHTML("beforeend", panel.first), 100 * n));
				panels.forEach((panel, n) => setTimeout(() => { if (panel.then) container.children[n].outerHTML = panel.then }, 700 + 100 * n));
			}, 300);
			</script>`)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

// Panels as the oldest and the newest Kibana draw them.
func old(title, state, content string) string {
	return fmt.Sprintf(`<div class="embPanel" data-test-subj="embeddablePanel"><figcaption>%s</figcaption>
		<div class="embPanel__content" data-shared-item data-title="%[1]s" %s>%s</div></div>`, html.EscapeString(title), state, content)
}

func recent(title, state, content string) string {
	return fmt.Sprintf(`<div class="embPanel" data-test-subj="embeddablePanel" %s><h2>%s</h2><div class="embPanel__content">%s</div></div>`,
		state, html.EscapeString(title), content)
}

const (
	chart   = `<div data-render-complete="true" data-rendering-count="2"><canvas></canvas></div>`
	drawing = `<div data-render-complete="false"><canvas></canvas></div>`
	number  = `<div data-render-complete="true"><p class="echMetricText__value">%s</p></div>`
)

// board makes a dashboard of pairs: a panel at first, and later.
func board(panels ...string) string {
	script := "["
	for i := 0; i+1 < len(panels); i += 2 {
		script += fmt.Sprintf("{first: `%s`, then: `%s`},", panels[i], panels[i+1])
	}
	return script + "]"
}

var good = board(
	old("Open", `data-loading="true" data-render-complete="false"`, ""), old("Open", `data-render-complete="true"`, fmt.Sprintf(number, "17")),
	recent("Latency", `data-loading="true"`, drawing), recent("Latency", `data-render-complete="true"`, chart),
	old("Links", "", "<a>Overview</a>"), "",
	recent("Loading twice", `data-loading="true"`, ""), recent("Loading twice", `data-render-complete="true"`, chart),
)

func TestLook(t *testing.T) {
	t.Parallel()
	late := recent("Late", `data-loading="true"`, drawing)
	for _, c := range []struct {
		name   string
		board  string
		wait   string
		code   int
		says   []string
		silent string // on what there is nothing to complain of
	}{
		{"all good", good, "50s", 0, []string{"apmws-overview: all 4 panels are well"}, "Open"},
		{
			"errors", board(
				old("Open", `data-render-complete="true"`, chart), "",
				old("Old", `data-error="true"`, ""), `<div class="embPanel" data-test-subj="embeddablePanel"><div data-test-subj="embeddableError">No such <b>data view</b></div>
					<div class="embPanel__content" data-title="Old" data-error="true"></div></div>`,
				recent("Lens", `data-loading="true"`, ""), recent("Lens", `data-render-complete="true"`, `<div data-test-subj="embeddable-lens-failure">Field not found</div>`),
				recent("Rendering", `data-render-complete="true"`, `<div data-render-error="too many buckets" data-render-complete="false"></div>`), "",
				recent("Silent", `data-render-complete="true" data-error="true"`, ""), "",
			), "50s", 1, []string{
				`apmws-overview: "Old" shows an error: No such data view`, `"Lens" shows an error: Field not found`,
				`"Rendering" shows an error: too many buckets`, `"Silent" shows an error`,
			}, "Open",
		},
		{
			"empty", board(
				old("Open", `data-render-complete="true"`, chart), "",
				old("Causes", `data-render-complete="true"`, `<div data-test-subj="emptyPlaceholder"><svg></svg><p>No results found</p></div>`), "",
				recent("Lines", `data-render-complete="true"`, "<p>No results found</p>"), "",
				recent("Blank", `data-render-complete="true"`, " "), "",
				recent("Nothing", `data-render-complete="true"`, fmt.Sprintf(number, "N/A")), "",
				recent("Zero", `data-render-complete="true"`, fmt.Sprintf(number, "0")), "",
			), "50s", 1, []string{`"Causes" is empty`, `"Lines" is empty`, `"Blank" is empty`, `"Nothing" is empty`}, "Zero",
		},
		{"never complete", board(old("Open", `data-render-complete="true"`, chart), "", late, ""), "20s", 1, []string{"2 of 2 panels after all the time, not complete: Late"}, "Open"},
		{"one never comes", `[...` + board(old("Open", `data-render-complete="true"`, chart), "") + `, {first: ""}]`, "20s", 1, []string{"1 of 2 panels after all the time"}, "Open"},
		{"not there", "undefined", "20s", 1, []string{"there is no dashboard; the page says: No dashboards yet"}, "Open"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			at := kibana(t, map[string]string{"apmws-overview": c.board})
			dir := t.TempDir()
			var out, complaints bytes.Buffer
			code := run(t.Context(), []string{"-kibana", at + "/", "-wait", c.wait, "-pictures", dir, "apmws-overview"}, environment, &out, &complaints)
			says := out.String() + complaints.String()
			if code != c.code || (code == 0) != (complaints.Len() == 0) {
				t.Errorf("exit code %d\n%s", code, says)
			}
			for _, part := range c.says {
				if !strings.Contains(says, part) {
					t.Errorf("it does not say %q:\n%s", part, says)
				}
			}
			if strings.Contains(says, `"`+c.silent+`"`) || strings.Contains(says, password) {
				t.Errorf("it says too much:\n%s", says)
			}
			checkPicture(t, filepath.Join(dir, "apmws-overview.png"))
		})
	}
}

func environment(name string) string {
	if name == "KIBANA_PASSWORD" {
		return password
	}
	return ""
}

func checkPicture(t *testing.T, name string) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	picture, err := png.Decode(file)
	if err != nil || picture.Bounds().Dx() != width || picture.Bounds().Dy() < height {
		t.Errorf("the picture is %v, %v", picture.Bounds(), err)
	}
}

// All are opened when none is named; one that fails does not keep the others
// from being looked at; and one that is taller than the window is in the picture.
func TestAllDashboards(t *testing.T) {
	t.Parallel()
	tall := board(old("Tall", `data-render-complete="true" style="height: 5000px"`, chart), "")
	at := kibana(t, map[string]string{
		"apmws-overview": good, "apmws-connections": board(recent("Blank", `data-render-complete="true"`, ""), ""), "apmws-messages": good,
		"apmws-outbound": good, "apmws-errors": tall,
	})
	dir := t.TempDir()
	var out, complaints bytes.Buffer
	code := run(t.Context(), []string{"-kibana", at, "-pictures", dir}, environment, &out, &complaints)
	if code != 1 || complaints.String() != "apmws-connections: \"Blank\" is empty\n" || strings.Count(out.String(), "\n") != 4 {
		t.Errorf("exit code %d\n%s%s", code, &out, &complaints)
	}
	for _, id := range all {
		checkPicture(t, filepath.Join(dir, id+".png"))
	}
	file, err := os.Open(filepath.Join(dir, "apmws-errors.png"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if c, err := png.DecodeConfig(file); err != nil || c.Height < 5000 {
		t.Errorf("the tall one is %d pixels high, %v", c.Height, err)
	}
}

// Where not all that can happen has happened yet, a panel that is named may be
// empty: not another, not one with an error, and not one that is not there.
func TestMayBeEmpty(t *testing.T) {
	t.Parallel()
	blank := func(title string) string { return recent(title, `data-render-complete="true"`, "") }
	at := kibana(t, map[string]string{
		"empty": board(blank("Blank"), "", recent("N/A", `data-render-complete="true"`, fmt.Sprintf(number, "N/A")), ""),
		"other": board(blank("Blank"), "", blank("Blank, too"), ""),
		"wrong": board(recent("Wrong", `data-error="true"`, ""), ""),
	})
	var out, complaints bytes.Buffer
	code := run(t.Context(), []string{
		"-kibana", at, "-may-be-empty", "Blank", "-may-be-empty", "N/A", "-may-be-empty", "Wrong", "-may-be-empty", "Gone",
		"empty", "other", "wrong",
	}, environment, &out, &complaints)
	const want = "other: \"Blank, too\" is empty\n" + "wrong: \"Wrong\" shows an error: it does not say which\n" +
		"there is no panel \"Gone\", which may be empty\n"
	if code != 1 || out.String() != "empty: all 2 panels are well\n" || complaints.String() != want {
		t.Errorf("exit code %d\n%s%s", code, &out, &complaints)
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	at := kibana(t, nil)
	var out, complaints bytes.Buffer
	code := run(t.Context(), []string{"-kibana", at, "-user", "somebody"}, environment, &out, &complaints)
	if code != 1 || complaints.String() != "login: Username or password is incorrect.\n" {
		t.Errorf("exit code %d, %s", code, &complaints)
	}
}

func TestCommandLine(t *testing.T) {
	for _, c := range []struct {
		args     []string
		password string
		code     int
		says     string
	}{
		{[]string{"-h"}, "", 0, "-pictures dir"},
		{[]string{"-unknown"}, password, 2, "not defined"},
		{nil, "", 2, "KIBANA_PASSWORD is not set"},
		{[]string{"-kibana", "kibana"}, password, 2, "-kibana is such as"},
		{[]string{"-wait", "0s"}, password, 2, "-wait is more"},
		{[]string{"-until", "now"}, password, 2, "-until is such as"},
	} {
		var out, complaints bytes.Buffer
		code := run(t.Context(), c.args, func(string) string { return c.password }, &out, &complaints)
		if code != c.code || !strings.Contains(complaints.String(), c.says) || out.Len() > 0 {
			t.Errorf("%q: exit code %d, %s", c.args, code, &complaints)
		}
	}
}

func TestAddress(t *testing.T) {
	for _, c := range []struct{ until, want string }{
		{"", "(from:now-90m,to:now)"},
		{"2026-03-04T13:00:00.0625+01:00", "(from:'2026-03-04T10:30:00.062Z',to:'2026-03-04T12:00:00.062Z')"},
	} {
		args := []string{"-kibana", "https://k.example/base/", "-space", "a b", "-since", "90m", "-until", c.until}
		s, err := settingsFrom(args, environment)
		if err != nil {
			t.Fatal(err)
		}
		want := "https://k.example/base/s/a%20b/app/dashboards#/view/x?_g=(refreshInterval:(pause:!t,value:0),time:" + c.want + ")"
		if got := s.address("x"); got != want {
			t.Errorf("the address is %s", got)
		}
	}
}
