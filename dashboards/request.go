package dashboards

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

const (
	requestTimeout = time.Minute
	// maxAnswer bounds what is read of one answer; the export of all dashboards
	// is far below.
	maxAnswer = 16 << 20
	// maxWords bounds what is repeated of an answer, in characters.
	maxWords = 300
)

// kibana is where an import goes to.
type kibana struct {
	client        *http.Client
	base          string // without a slash at the end
	space         string // empty for the default one
	authorization string
	secrets       []string
	version       string // once it is known
}

// answer is one that Kibana, or whatever is there, gave.
type answer struct {
	status int
	body   []byte
}

func newKibana(address string, options KibanaOptions) (*kibana, error) {
	base, err := baseURL(address)
	if err != nil {
		return nil, err
	}
	k := &kibana{base: base, space: options.Space, client: &http.Client{Timeout: requestTimeout}}
	if options.Client != nil {
		client := *options.Client
		k.client = &client
	}
	k.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if k.space == "default" {
		k.space = ""
	}
	if strings.Trim(k.space, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return nil, &ImportError{
			Kind: ErrSpace,
			Text: fmt.Sprintf("%q is not the id of a space, which has only small letters, digits, _ and -", words(k.space)),
		}
	}
	switch {
	case options.APIKey != "" && (options.User != "" || options.Password != ""):
		return nil, optionsError("an API key and a user are given; one of them suffices")
	case options.APIKey != "":
		k.authorization = "ApiKey " + options.APIKey
		k.secrets = []string{options.APIKey}
	case options.User != "" && options.Password != "":
		pair := base64.StdEncoding.EncodeToString([]byte(options.User + ":" + options.Password))
		k.authorization = "Basic " + pair
		k.secrets = []string{pair, options.Password}
	case options.User != "" || options.Password != "":
		return nil, optionsError("a user and a password are needed, and one of them is empty")
	}
	if strings.ContainsFunc(k.authorization, unicode.IsControl) {
		return nil, optionsError("the API key holds a line break or another control character")
	}
	return k, nil
}

// baseURL checks and normalises an address. Its errors do not repeat what they
// complain of, since that may hold a password.
func baseURL(address string) (string, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return "", optionsError("Kibana's address is not a URL")
	case u.User != nil:
		return "", optionsError("Kibana's address holds a user or a password, which must be given apart")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", optionsError("Kibana's address must start with http:// or https:// and a host")
	case u.RawQuery != "" || u.Fragment != "":
		return "", optionsError("Kibana's address must end before any ? or #")
	}
	for _, page := range []string{"/app", "/s"} {
		if strings.Contains(u.Path+"/", page+"/") {
			return "", optionsError("Kibana's address must end before " + page + "/, which is a page's or a space's")
		}
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func optionsError(text string) error { return &ImportError{Kind: ErrOptions, Text: text} }

// root is the address of the space.
func (k *kibana) root() string {
	if k.space == "" {
		return k.base
	}
	return k.base + "/s/" + k.space
}

// do sends a request and reads the answer. What no caller could make use of, such
// as a redirect, is an error.
func (k *kibana) do(ctx context.Context, method, url, contentType string, body []byte) (*answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, optionsError("Kibana's address cannot be used")
	}
	request.Header.Set("Accept", "application/json, application/ndjson")
	request.Header.Set("Kbn-Xsrf", "true")
	request.Header.Set("User-Agent", "apmws-dashboards")
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	if k.authorization != "" {
		request.Header.Set("Authorization", k.authorization)
	}
	response, err := k.client.Do(request)
	if err != nil {
		return nil, k.unreachable(err)
	}
	defer response.Body.Close()
	a := &answer{status: response.StatusCode}
	if a.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1)); err != nil {
		return nil, k.unreachable(err)
	}
	if len(a.body) > maxAnswer {
		return nil, &ImportError{
			Kind: ErrAnswer, Status: a.status,
			Text: fmt.Sprintf("the answer of %s is longer than %d bytes", k.base, maxAnswer),
		}
	}
	switch {
	case a.status >= 300 && a.status < 400:
		return nil, k.redirected(request.URL, response)
	case a.status == http.StatusUnauthorized:
		return nil, k.unknown(a)
	case a.status == http.StatusTooManyRequests || a.status >= 500:
		return nil, k.failure(ErrUnavailable, a, "Kibana is starting, overloaded or broken: "+k.base+" answers")
	}
	return a, nil
}

func (k *kibana) unreachable(err error) error {
	e := &ImportError{Kind: ErrUnreachable, Err: err}
	// The method and the address would be said twice.
	var outer *url.Error
	if errors.As(err, &outer) {
		e.Err = outer.Err
	}
	var certificate *tls.CertificateVerificationError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		e.Text = "interrupted before " + k.base + " had answered"
	case errors.As(err, &timeout) && timeout.Timeout():
		e.Text = k.base + " did not answer in time"
	case errors.As(err, &certificate):
		e.Text = fmt.Sprintf("the certificate of %s cannot be trusted: %s", k.base, k.words(e.Err.Error()))
	default:
		e.Text = fmt.Sprintf("%s cannot be reached: %s", k.base, k.words(e.Err.Error()))
	}
	return e
}

// redirected: Kibana's API does not redirect. Either the address is another one,
// which shows when the same path is asked for there, or someone wants a login.
func (k *kibana) redirected(from *url.URL, response *http.Response) error {
	e := &ImportError{Kind: ErrAuth, Status: response.StatusCode}
	to, err := response.Location()
	if err != nil {
		e.Kind = ErrAnswer
		e.Text = k.base + " redirects to nowhere"
		return e
	}
	// Neither a query nor a user is repeated: both may hold tokens.
	target := to.Scheme + "://" + to.Host + to.EscapedPath()
	path := strings.TrimPrefix(from.String(), k.base)
	if base, same := strings.CutSuffix(target, path); same {
		e.Kind = ErrAnswer
		e.Text = fmt.Sprintf("Kibana is not at %s, which redirects to %s", k.base, k.words(base))
		return e
	}
	e.Text = fmt.Sprintf("%s wants a login: it redirects to %s", k.base, k.words(target))
	return e
}

// unknown: a 401, of Kibana or of a proxy before it.
func (k *kibana) unknown(a *answer) error {
	given := "without an API key or a user"
	switch {
	case strings.HasPrefix(k.authorization, "ApiKey "):
		given = "to this API key"
	case k.authorization != "":
		given = "to this user and password"
	}
	return k.failure(ErrAuth, a, k.base+" does not answer "+given+"; it says")
}

// failure says what an answer is, after an introduction.
func (k *kibana) failure(kind error, a *answer, text string) error {
	meaning := http.StatusText(a.status)
	said := fmt.Sprintf(" %d %s", a.status, meaning)
	if message := k.words(a.message()); message != "" && message != meaning {
		said += " (" + message + ")"
	}
	return &ImportError{Kind: kind, Status: a.status, Text: text + said}
}

// decode reads a JSON answer into v.
func (k *kibana) decode(a *answer, v any) error {
	err := json.Unmarshal(a.body, v)
	if err == nil {
		return nil
	}
	text := "an answer of " + k.base + " is not what Kibana's would be"
	if a.isPage() {
		text = k.base + " answers with a web page, as another server does, or a proxy that wants a login"
	}
	return &ImportError{Kind: ErrAnswer, Status: a.status, Text: text, Err: err}
}

func (a *answer) isPage() bool { return bytes.HasPrefix(bytes.TrimSpace(a.body), []byte("<")) }

// message is what an answer that is not 200 says for people.
func (a *answer) message() string {
	var said struct {
		Message any `json:"message"`
	}
	if json.Unmarshal(a.body, &said) == nil {
		text, _ := said.Message.(string)
		return text
	}
	if a.isPage() {
		return "a web page"
	}
	return string(a.body)
}

// words makes something that was received fit to be repeated: on one line, short
// and without the credentials, which a server might echo.
func (k *kibana) words(text string) string {
	for _, secret := range k.secrets {
		text = strings.ReplaceAll(text, secret, "[credentials]")
	}
	return words(text)
}

func words(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxWords {
		text = string(runes[:maxWords]) + "…"
	}
	return text
}
