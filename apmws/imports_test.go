package apmws

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the path of this one.
const module = "github.com/apmws/go-apmws/"

// sources parses the files below a directory that are built into programs.
func sources(t *testing.T, dir string) map[string]*ast.File {
	t.Helper()
	files := make(map[string]*ast.File)
	fset := token.NewFileSet()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || path == "internal/interop" || path == "../dashboards/internal" || path == "../dashboards/grafana/proof"): // modules of their own
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files[path], err = parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no source below %s", dir)
	}
	return files
}

// imports returns a file's imports by the name that they have in it, and those
// whose name says nothing.
func imports(t *testing.T, f *ast.File) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, spec := range f.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil && spec.Name.Name != "_" {
			name = spec.Name.Name
		}
		for all[name] != "" {
			name += "'"
		}
		all[name] = path
	}
	return all
}

// TestImports: arrows run one way. The core knows no vendor, and each exporter
// knows its own alone.
func TestImports(t *testing.T) {
	tests := []struct {
		dir     string
		allowed []string // beside the standard library; a trailing slash for what is below
	}{
		{".", []string{"github.com/cenkalti/backoff/v5", "github.com/gorilla/websocket", "github.com/rs/zerolog", module + "apmws", module + "apmws/"}},
		{"semconv", nil},
		{"exportertest", []string{module + "apmws", module + "apmws/semconv"}},
		{"../exporters/livews", []string{module + "apmws", module + "apmws/"}},
		{"../exporters/elasticws", []string{"go.elastic.co/apm/v2", "go.elastic.co/apm/v2/", module + "exporters/internal/", module + "apmws", module + "apmws/"}},
		{"../exporters/newrelicws", []string{"github.com/newrelic/go-agent/v3/newrelic", module + "exporters/internal/", module + "apmws", module + "apmws/"}},
		{"../exporters/internal/goroutine", nil},
		{"../dashboards", []string{module + "dashboards"}},
	}
	for _, test := range tests {
		for path, file := range sources(t, test.dir) {
			for _, imported := range imports(t, file) {
				host, _, _ := strings.Cut(imported, "/")
				standard := !strings.Contains(host, ".") && imported != "C" && (imported != "unsafe" || test.dir != ".")
				if !standard && !slices.ContainsFunc(test.allowed, func(allowed string) bool {
					return imported == allowed || strings.HasSuffix(allowed, "/") && strings.HasPrefix(imported, allowed)
				}) {
					t.Errorf("%s imports %s", path, imported)
				}
			}
		}
	}
}

// TestZerologGlobals: zerolog's package variables are the application's. No
// source assigns one, takes its address or calls what changes one.
func TestZerologGlobals(t *testing.T) {
	changers := []string{"SetGlobalLevel", "DisableSampling"}
	seen := 0
	for _, dir := range []string{".", "../exporters"} {
		for path, file := range sources(t, dir) {
			all := imports(t, file)
			global := func(x ast.Expr) string {
				for {
					switch e := x.(type) {
					case *ast.ParenExpr:
						x = e.X
						continue
					case *ast.IndexExpr:
						x = e.X
						continue
					case *ast.SelectorExpr:
						if pkg, ok := e.X.(*ast.Ident); ok && strings.HasPrefix(all[pkg.Name]+"/", "github.com/rs/zerolog/") {
							return e.Sel.Name
						}
					}
					return ""
				}
			}
			if slices.ContainsFunc(slices.Collect(maps.Values(all)), func(p string) bool { return strings.HasPrefix(p, "github.com/rs/zerolog") }) {
				seen++
			}
			if p := all["."]; p != "" {
				t.Errorf("%s imports all names of %s", path, p)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				var changed []ast.Expr
				switch n := n.(type) {
				case *ast.AssignStmt:
					changed = n.Lhs
				case *ast.IncDecStmt:
					changed = []ast.Expr{n.X}
				case *ast.UnaryExpr:
					if n.Op == token.AND {
						changed = []ast.Expr{n.X}
					}
				case *ast.RangeStmt:
					changed = []ast.Expr{n.Key, n.Value}
				case *ast.SelectorExpr:
					if name := global(n); slices.Contains(changers, name) {
						t.Errorf("%s uses zerolog.%s", path, name)
					}
				}
				for _, x := range changed {
					if name := global(x); name != "" {
						t.Errorf("%s changes zerolog.%s", path, name)
					}
				}
				return true
			})
		}
	}
	if seen == 0 {
		t.Error("no source imports zerolog: this test looks at nothing")
	}
}
