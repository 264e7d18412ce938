package proof

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// program is what the tests know of the chat, from its source.
type program struct {
	usage, routes, dockerfile string
	shutdown                  time.Duration // what its shutdown may take beside the drain
}

func readProgram(t testing.TB) program {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile("../../" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	p := program{dockerfile: read("elastic/Dockerfile"), routes: read("chat/routes.go") + read("chat/metrics.go")}
	for name, value := range constants(t, "../../chat/config.go") {
		if literal, ok := value.(*ast.BasicLit); ok && name == "usage" {
			p.usage, _ = strconv.Unquote(literal.Value)
		}
	}
	for name, value := range constants(t, "../../chat/shutdown.go") {
		product, ok := value.(*ast.BinaryExpr)
		if !ok || !strings.HasSuffix(name, "Grace") || name == "drainGrace" {
			continue
		}
		times, isNumber := product.X.(*ast.BasicLit)
		unit, isSelector := product.Y.(*ast.SelectorExpr)
		units := map[string]time.Duration{"Millisecond": time.Millisecond, "Second": time.Second, "Minute": time.Minute}
		if !isNumber || !isSelector || units[unit.Sel.Name] == 0 {
			t.Fatalf("%s is not some seconds", name)
		}
		n, err := strconv.Atoi(times.Value)
		if err != nil {
			t.Fatal(err)
		}
		p.shutdown += time.Duration(n) * units[unit.Sel.Name]
	}
	if p.usage == "" || p.shutdown == 0 {
		t.Fatalf("the chat's source does not say its usage, or how long its shutdown takes: %+v", p)
	}
	return p
}

func constants(t testing.TB, path string) map[string]ast.Expr {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]ast.Expr{}
	for _, d := range file.Decls {
		group, ok := d.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, s := range group.Specs {
			spec := s.(*ast.ValueSpec)
			for i, name := range spec.Names {
				if i < len(spec.Values) {
					all[name.Name] = spec.Values[i]
				}
			}
		}
	}
	return all
}

var flagName = regexp.MustCompile(`^-([a-z-]+)(?:=|$)`)

// agree returns where the files do not fit each other or the chat.
func agree(m *manifests, p program) error {
	var problems []error
	want := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	pod := m.deployment.Spec.Template
	for what, labels := range map[string]map[string]string{
		"Deployment": m.deployment.Spec.Selector.MatchLabels, "Service": m.service.Spec.Selector,
		"PodDisruptionBudget": m.budget.Spec.Selector.MatchLabels, "PodMonitor": m.monitor.Spec.Selector.MatchLabels,
		"topologySpreadConstraints": pod.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels,
	} {
		want(reflect.DeepEqual(labels, pod.Labels), "%s selects %v, the pods have %v", what, labels, pod.Labels)
	}
	for what, namespace := range map[string]string{
		"Service": m.service.Namespace, "PodDisruptionBudget": m.budget.Namespace, "PodMonitor": m.monitor.Namespace,
		"HorizontalPodAutoscaler": m.autoscaler.Namespace, "ScaledObject": m.scaled.Namespace,
	} {
		want(namespace == m.deployment.Namespace, "%s is in %q", what, namespace)
	}
	for what, kind := range map[string][2]string{
		"Deployment": {m.deployment.APIVersion + m.deployment.Kind, "apps/v1Deployment"},
		"Service":    {m.service.APIVersion + m.service.Kind, "v1Service"},
		"budget":     {m.budget.APIVersion + m.budget.Kind, "policy/v1PodDisruptionBudget"},
		"autoscaler": {m.autoscaler.APIVersion + m.autoscaler.Kind, "autoscaling/v2HorizontalPodAutoscaler"},
		"monitor":    {m.monitor.APIVersion + m.monitor.Kind, "monitoring.coreos.com/v1PodMonitor"},
		"scaled":     {m.scaled.APIVersion + m.scaled.Kind, "keda.sh/v1alpha1ScaledObject"},
	} {
		want(kind[0] == kind[1], "%s is a %s", what, kind[0])
	}
	target := m.autoscaler.Spec.ScaleTargetRef
	want(target == (autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: m.deployment.Name}),
		"the autoscaler scales %v", target)
	want(m.scaled.Spec.ScaleTargetRef.Name == m.deployment.Name, "KEDA scales %s", m.scaled.Spec.ScaleTargetRef.Name)
	want(m.deployment.Spec.Replicas == nil, "the Deployment sets the replicas back")
	asked, server := m.adapter.Prometheus, m.scaled.Spec.Triggers[0].Metadata.ServerAddress
	want(fmt.Sprintf("%s:%d", asked.URL, asked.Port) == server, "prometheus-adapter asks %v, KEDA %s", asked, server)

	chat := pod.Spec.Containers[0]
	port := chat.Ports[0]
	want(m.service.Spec.Ports[0].TargetPort.StrVal == port.Name, "the Service's port is not the pods'")
	scrape := m.monitor.Spec.PodMetricsEndpoints[0]
	want(scrape.Port == port.Name, "the PodMonitor's port is not the pods'")
	probe := chat.ReadinessProbe.HTTPGet
	want(probe.Port.StrVal == port.Name, "the probe's port is not the pods'")
	want(strings.Contains(p.routes, `"GET `+probe.Path+`"`), "the chat does not answer the probe's %s", probe.Path)
	metricsPath := fmt.Sprintf("metricsPath = %q", scrape.Path)
	want(strings.Contains(p.routes, metricsPath), "the chat has no metrics at %s", scrape.Path)
	for _, task := range m.agent.Logs.MetricsCollected.Prometheus.ECSServiceDiscovery.TaskDefinitionList {
		want(strings.Contains(p.routes, fmt.Sprintf("metricsPath = %q", task.Path)), "the chat has no metrics at %s", task.Path)
		want(task.Ports == strconv.Itoa(int(port.ContainerPort)), "the CloudWatch agent scrapes the port %s", task.Ports)
	}
	problems = append(problems, flagsAndEnvironment(chat, port, p), resources(m, p), sameScaling(m))
	return errors.Join(problems...)
}

func flagsAndEnvironment(chat corev1.Container, port corev1.ContainerPort, p program) error {
	var problems []error
	listens, exposes := false, false
	for _, arg := range chat.Args {
		match := flagName.FindStringSubmatch(arg)
		if match == nil {
			problems = append(problems, fmt.Errorf("%q is no flag", arg))
			continue
		}
		known := regexp.MustCompile(`(?m)^  (-[a-z]+, )?-` + match[1] + `[, \n]`)
		if !known.MatchString(p.usage) {
			problems = append(problems, fmt.Errorf("the chat has no flag -%s", match[1]))
		}
		listens = listens || arg == fmt.Sprintf("-addr=:%d", port.ContainerPort)
		exposes = exposes || arg == "-expose-metrics"
	}
	if !listens || !exposes {
		problems = append(problems, fmt.Errorf("the chat does not listen on the port, or hides its metrics: %q", chat.Args))
	}
	if !strings.Contains(p.dockerfile, "./chat ") || len(chat.Command) != 1 || chat.Command[0] != "chat" {
		problems = append(problems, fmt.Errorf("the image has no %q", chat.Command))
	}
	for _, e := range chat.Env {
		if e.Name != "GOMEMLIMIT" && !strings.Contains(p.usage, "\n  "+e.Name+" ") {
			problems = append(problems, fmt.Errorf("the chat does not read %s", e.Name))
		}
	}
	return errors.Join(problems...)
}

func resources(m *manifests, p program) error {
	var problems []error
	pod := m.deployment.Spec.Template.Spec
	chat := pod.Containers[0]
	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	stop, err := time.ParseDuration(chat.Lifecycle.PreStop.Exec.Command[1] + "s")
	drain, errDrain := drainOf(chat)
	if err := errors.Join(err, errDrain); err != nil {
		problems = append(problems, err)
	} else if grace < stop+drain+p.shutdown {
		problems = append(problems, fmt.Errorf("%v are too few for preStop's %v, the drain's %v and the chat's other %v",
			grace, stop, drain, p.shutdown))
	}
	if user := fmt.Sprintf("USER %d\n", *pod.SecurityContext.RunAsUser); !strings.Contains(p.dockerfile, user) {
		problems = append(problems, errors.New("the user is not the image's"))
	}
	for _, e := range chat.Env {
		if e.Name != "GOMEMLIMIT" {
			continue
		}
		soft, err := resource.ParseQuantity(strings.TrimSuffix(e.Value, "B"))
		if hard := chat.Resources.Limits.Memory(); err != nil || soft.Value()*10 > hard.Value()*9 || soft.Value()*10 < hard.Value()*7 {
			problems = append(problems, fmt.Errorf("GOMEMLIMIT is %s of %v, %w", e.Value, hard, err))
		}
	}
	if requested := chat.Resources.Requests.Memory(); requested.Cmp(*chat.Resources.Limits.Memory()) != 0 {
		problems = append(problems, errors.New("the memory that is requested is not the limit"))
	}
	return errors.Join(problems...)
}

// drainOf returns how long the chat may drain its connections.
func drainOf(chat corev1.Container) (time.Duration, error) {
	for _, arg := range chat.Args {
		if text, ok := strings.CutPrefix(arg, "-drain="); ok {
			return time.ParseDuration(text)
		}
	}
	return 0, errors.New("the Deployment does not say how long the chat may drain")
}

// sameScaling: the ways to scale say the same, so that one can be taken for the other.
func sameScaling(m *manifests) error {
	var problems []error
	a, k := m.autoscaler.Spec, m.scaled.Spec
	if *a.MinReplicas != k.MinReplicaCount || a.MaxReplicas != k.MaxReplicaCount || k.Fallback.Replicas < k.MinReplicaCount {
		problems = append(problems, errors.New("the least or most replicas differ"))
	}
	if !reflect.DeepEqual(*a.Behavior, k.Advanced.HorizontalPodAutoscalerConfig.Behavior) {
		problems = append(problems, errors.New("the behaviours differ"))
	}
	metric, trigger := a.Metrics[0], k.Triggers[0]
	average := metric.Pods.Target.AverageValue
	if metric.Type != autoscalingv2.PodsMetricSourceType || metric.Pods.Target.Type != autoscalingv2.AverageValueMetricType ||
		average == nil || trigger.MetricType != autoscalingv2.AverageValueMetricType {
		problems = append(problems, errors.New("what is scaled by is not an average of the pods"))
	} else if threshold := resource.MustParse(trigger.Metadata.Threshold); average.Cmp(threshold) != 0 ||
		average.AsApproximateFloat64() != *m.tracking.TargetValue {
		problems = append(problems, errors.New("the connections of a pod differ"))
	}
	return errors.Join(problems...)
}
