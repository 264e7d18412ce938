package proof

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/apmws/go-apmws/dashboards/grafana/proof/contract"
)

func startCluster(t *testing.T) cluster {
	t.Helper()
	metrics, err := contract.Read("../../../apmws/TELEMETRY.md")
	if err != nil {
		t.Fatal(err)
	}
	return cluster{
		pods: []pod{
			startPod(t, "chat-a", map[string]int{"/ws": 3, "/rooms": 2}),
			startPod(t, "chat-b", map[string]int{"/ws": 4}),
		},
		other:   startPod(t, "chat-c", map[string]int{"/ws": 7}),
		metrics: metrics,
	}
}

func check(all files, p program, c cluster) error {
	m, err := decode(all)
	if err != nil {
		return err
	}
	return errors.Join(agree(m, p), c.scaling(m))
}

// TestFiles: the files follow their schemas, fit each other, the chat and the contract,
// and the autoscalers are told how many connections are open, to the connection.
func TestFiles(t *testing.T) {
	if err := check(readFiles(t), readProgram(t), startCluster(t)); err != nil {
		t.Error(err)
	}
}

// TestFaultsAreFound: what could be wrong with each does not go unnoticed.
func TestFaultsAreFound(t *testing.T) {
	p, c := readProgram(t), startCluster(t)
	const (
		deployment = "kubernetes/deployment.yaml"
		hpa        = "kubernetes/hpa.yaml"
		keda       = "kubernetes/keda.yaml"
		adapter    = "kubernetes/prometheus-adapter.yaml"
		agent      = "cloudwatch/agent.json"
		tracking   = "cloudwatch/target-tracking.json"
	)
	for _, fault := range []struct{ file, from, to string }{
		{deployment, "terminationGracePeriodSeconds", "terminationGracePeriod"},
		{deployment, "terminationGracePeriodSeconds: 60", "terminationGracePeriodSeconds: 10"},
		{deployment, "minReadySeconds: 30", "minReadySeconds: thirty"},
		{deployment, "minReadySeconds", "MinReadySeconds"},
		{deployment, "runAsUser: 10001", "runAsUser: 1000"},
		{deployment, "-expose-metrics", "-expose-metric"},
		{deployment, "- -expose-metrics\n", "- -debug\n"},
		{deployment, "-addr=:8080", "-addr=127.0.0.1:8080"},
		{deployment, `command: ["chat"]`, `command: ["chatd"]`},
		{deployment, "CHAT_JWT_SECRET", "JWT_SECRET"},
		{deployment, "600MiB", "900MiB"},
		{deployment, "-drain=40s", "-drain=55s"},
		{deployment, "            - -drain=40s\n", ""},
		{deployment, "path: /readyz", "path: /ready"},
		{deployment, "  selector:\n    matchLabels:\n      app.kubernetes.io/name: chat", "  selector:\n    matchLabels:\n      app: chat"},
		{"kubernetes/service.yaml", "targetPort: http", "targetPort: web"},
		{"kubernetes/service.yaml", "  selector:\n    app.kubernetes.io/name: chat", "  selector:\n    app.kubernetes.io/name: chats"},
		{"kubernetes/pdb.yaml", "maxUnavailable: 1", "maxUnavailabe: 1"},
		{"kubernetes/pdb.yaml", "namespace: chat", "namespace: default"},
		{"kubernetes/podmonitor.yaml", "port: http", "port: metrics"},
		{"kubernetes/podmonitor.yaml", "path: /metrics", "path: /stats"},
		{"kubernetes/podmonitor.yaml", "name: chat\n", "name: other\n"},
		{hpa, "autoscaling/v2", "autoscaling/v1"},
		{hpa, "averageValue: \"10000\"", "averageValue: \"20000\""},
		{hpa, "averageValue", "averageUtilization"},
		{hpa, "type: AverageValue", "type: Value"},
		{hpa, "stabilizationWindowSeconds: 1800", "stabilisationWindowSeconds: 1800"},
		{hpa, "stabilizationWindowSeconds: 1800", "stabilizationWindowSeconds: 300"},
		{hpa, "name: websocket_connections_active", "name: websocket_connections_open"},
		{hpa, "kind: Deployment", "kind: StatefulSet"},
		{adapter, "seriesQuery: 'websocket_connections_active", "seriesQuery: 'websocket_connection_active"},
		{adapter, `pod!=""`, `pods!=""`},
		{adapter, "matches: ^websocket", "matches: ^ws"},
		{adapter, "as: websocket_connections_active", "as: connections"},
		{adapter, "sum(<<", "max(<<"},
		{adapter, "metricsQuery", "metricQuery"},
		{adapter, "port: 9090", "port: 80"},
		{adapter, "pod: {resource: pod}", "pods: {resource: pod}"},
		{adapter, "<<.GroupBy>>", "<<.GroupBys>>"},
		{adapter, "{<<.LabelMatchers>>}", "{}"},
		{keda, `job="chat/chat"`, `job="chat"`},
		{keda, "namespace=\"chat\"}", "kubernetes_namespace=\"chat\"}"},
		{keda, "sum(websocket_connections_active", "sum(websocket_connections_opened"},
		{keda, "query: sum(", "query: avg("},
		{keda, "query: sum(", "query: sum by (pod) ("},
		{keda, `threshold: "10000"`, `threshold: "1000"`},
		{keda, "ignoreNullValues", "ignoreNulls"},
		{keda, "metricType: AverageValue", "metricType: Value"},
		{agent, "^chat;/ws$", "^chat;/rooms$"},
		{agent, "^chat;/ws$", "^chat;"},
		{agent, `"http_route"`, `"route"`},
		{agent, "^websocket_connections_active$", "^websocket_connections$"},
		{agent, "metric_selectors", "metric_selector"},
		{agent, "task-definition/chat:", "task-definition/chats:"},
		{agent, `"8080"`, `"9090"`},
		{agent, `"TaskDefinitionFamily"`, `"TaskId"`},
		{agent, "cwagent_ecs_auto_sd", "cwagent_auto_sd"},
		{tracking, "TargetValue", "Target"},
		{tracking, "10000", "500"},
		{tracking, "Chat/WebSocket", "Chat"},
		{tracking, "websocket_connections_active", "websocket.connections.active"},
		{tracking, `"Average"`, `"Sum"`},
		{tracking, "ScaleInCooldown", "ScaleInCoolDown"},
		{"cloudwatch/prometheus.yaml", "action: keep", "action: drop"},
		{"cloudwatch/prometheus.yaml", "regex: websocket_connections_active", "regex: websocket_connections"},
	} {
		all := readFiles(t)
		text := all[fault.file]
		all[fault.file] = strings.Replace(text, fault.from, fault.to, 1)
		if all[fault.file] == text {
			t.Errorf("%s: there is no %q to change", fault.file, fault.from)
		} else if check(all, p, c) == nil {
			t.Errorf("%s: %q for %q goes unnoticed", fault.file, fault.to, fault.from)
		}
	}
}

var inBrackets = regexp.MustCompile(`\]\(((?:kubernetes|cloudwatch)/[a-z.-]+)\)`)

// TestReadme: the page tells of every file, and of no other.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for _, link := range inBrackets.FindAllStringSubmatch(string(text), -1) {
		told[link[1]] = true
	}
	for name := range readFiles(t) {
		if !told[name] {
			t.Errorf("README.md does not tell of %s", name)
		}
		delete(told, name)
	}
	if len(told) > 0 {
		t.Errorf("README.md tells of %v", told)
	}
	if policy := readFiles(t)["cloudwatch/target-tracking.json"]; !strings.Contains(string(text), policy) {
		t.Error("README.md does not have the policy as its file has it")
	}
	m, err := decode(readFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```json\n\"metric_declaration\":")
	block, _, _ = strings.Cut(block, "```")
	var declared []metricDeclaration
	if err := strictly(block, &declared); err != nil ||
		!reflect.DeepEqual(declared, m.agent.Logs.MetricsCollected.Prometheus.EMFProcessor.Declarations) {
		t.Errorf("README.md does not have the declaration as agent.json has it: %v, %v", declared, err)
	}
}
