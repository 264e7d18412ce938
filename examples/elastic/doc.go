// Package elastic holds the stack to try the dashboards on: compose.yaml and what
// belongs to it. README.md says how to start it. There is no code in it but the
// tests of those files, which need no container engine.
package elastic
