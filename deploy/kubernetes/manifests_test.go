// Package kubernetes_test checks the manifests against Kubernetes' own types, as kustomize renders them. Whether they fit Outhook
// (variables, arguments, grace periods), a test of cmd/outhook checks.
package kubernetes_test

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// rendered are the objects of a kustomization, by kind and name.
type rendered map[string]any

// render renders the folder with all that its kustomization names, and what it leaves to the reader.
func render(t *testing.T) rendered {
	t.Helper()
	files := filesys.MakeFsInMemory()
	paths, err := filepath.Glob("*")
	require.NoError(t, err)
	for _, path := range paths {
		if strings.HasSuffix(path, ".yaml") || strings.HasSuffix(path, ".env") {
			text, err := filesys.MakeFsOnDisk().ReadFile(path)
			require.NoError(t, err)
			text = []byte(strings.ReplaceAll(string(text), "  # - ", "  - "))
			require.NoError(t, files.WriteFile("/"+path, text))
		}
	}

	var k types.Kustomization
	text, err := files.ReadFile("/kustomization.yaml")
	require.NoError(t, err)
	require.NoError(t, k.Unmarshal(text))
	for _, path := range paths {
		if strings.HasSuffix(path, ".yaml") && path != "kustomization.yaml" {
			require.Contains(t, k.Resources, path, "no kustomization knows the file")
		}
	}

	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(files, "/")
	require.NoError(t, err)
	objects := rendered{}
	for _, resource := range resources.Resources() {
		text, err := resource.AsYAML()
		require.NoError(t, err)
		name := resource.GetKind() + "/" + resource.GetName()
		objects[name] = decode(t, resource.GetApiVersion()+" "+resource.GetKind(), name, text)
	}
	return objects
}

// decode reads an object strictly: a member that its type does not have is an error.
func decode(t *testing.T, kind, name string, text []byte) any {
	t.Helper()
	object := map[string]any{
		"v1 Namespace":                           &corev1.Namespace{},
		"v1 ConfigMap":                           &corev1.ConfigMap{},
		"v1 Service":                             &corev1.Service{},
		"apps/v1 Deployment":                     &appsv1.Deployment{},
		"batch/v1 Job":                           &batchv1.Job{},
		"policy/v1 PodDisruptionBudget":          &policyv1.PodDisruptionBudget{},
		"autoscaling/v2 HorizontalPodAutoscaler": &autoscalingv2.HorizontalPodAutoscaler{},
		"networking.k8s.io/v1 NetworkPolicy":     &networkingv1.NetworkPolicy{},
	}[kind]
	require.NotNil(t, object, "nothing checks a %s", kind)
	require.NoError(t, yaml.UnmarshalStrict(text, object), name)
	return object
}

// pods are the templates, by the name of what makes pods of them.
func (r rendered) pods() map[string]corev1.PodTemplateSpec {
	pods := map[string]corev1.PodTemplateSpec{}
	for name, object := range r {
		switch o := object.(type) {
		case *appsv1.Deployment:
			pods[name] = o.Spec.Template
		case *batchv1.Job:
			pods[name] = o.Spec.Template
		}
	}
	return pods
}

// selected returns the names of the templates that a selector means.
func (r rendered) selected(t *testing.T, selector *metav1.LabelSelector) (names []string) {
	t.Helper()
	means, err := metav1.LabelSelectorAsSelector(selector)
	require.NoError(t, err)
	for name, pod := range r.pods() {
		if means.Matches(labels.Set(pod.Labels)) {
			names = append(names, name)
		}
	}
	return names
}

// Each pod is held by the strictest of Kubernetes' standards, writes nothing, knows no token, and has what it needs.
func TestPodsAreConfined(t *testing.T) {
	t.Parallel()
	objects := render(t)
	require.Len(t, objects.pods(), 3)
	for name, pod := range objects.pods() {
		spec := pod.Spec
		require.False(t, *spec.AutomountServiceAccountToken, name)
		require.False(t, *spec.EnableServiceLinks, name)
		require.True(t, *spec.SecurityContext.RunAsNonRoot, name)
		require.Equal(t, int64(65532), *spec.SecurityContext.RunAsUser, "the Dockerfile's")
		require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, spec.SecurityContext.SeccompProfile.Type, name)
		require.Empty(t, spec.InitContainers, name)
		require.Len(t, spec.Containers, 1, name)

		c := spec.Containers[0]
		require.Equal(t, "outhook:dev", c.Image, name)
		require.False(t, *c.SecurityContext.AllowPrivilegeEscalation, name)
		require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem, name)
		require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop, name)
		require.Empty(t, c.SecurityContext.Capabilities.Add, name)
		require.Positive(t, c.Resources.Requests.Cpu().MilliValue(), name)
		require.Positive(t, c.Resources.Requests.Memory().Value(), name)
		require.Positive(t, c.Resources.Limits.Memory().Value(), name)
		requireSecretsInFiles(t, name, spec)
	}
}

// requireSecretsInFiles checks that no variable holds a secret, and that each file which one names is mounted.
func requireSecretsInFiles(t *testing.T, name string, spec corev1.PodSpec) {
	t.Helper()
	c := spec.Containers[0]
	require.Len(t, spec.Volumes, 1, name)
	volume, mount := spec.Volumes[0], c.VolumeMounts[0]
	require.Equal(t, volume.Name, mount.Name, name)
	require.True(t, mount.ReadOnly, name)
	require.Equal(t, int32(0o440), *volume.Secret.DefaultMode, "whoever is in fsGroup may read it")
	require.Equal(t, spec.SecurityContext.RunAsGroup, spec.SecurityContext.FSGroup, name)
	require.Equal(t, strings.TrimPrefix(strings.TrimPrefix(name, "Deployment/"), "Job/"), volume.Secret.SecretName)
	for _, from := range c.EnvFrom {
		require.Nil(t, from.SecretRef, name)
	}
	for _, v := range c.Env {
		require.Nil(t, v.ValueFrom, v.Name)
		if strings.HasSuffix(v.Name, "_FILE") {
			require.Equal(t, mount.MountPath, filepath.Dir(v.Value), v.Name)
		}
	}
}

// Whoever serves is asked whether he lives and is ready, is replaced one at a time, and stands on several nodes.
func TestServersAreReplacedInTurn(t *testing.T) {
	t.Parallel()
	objects := render(t)
	for _, name := range []string{"outhook-api", "outhook-worker"} {
		d, ok := objects["Deployment/"+name].(*appsv1.Deployment)
		require.True(t, ok, name)
		require.GreaterOrEqual(t, *d.Spec.Replicas, int32(2), name)
		require.Zero(t, d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue(), name)
		require.Equal(t, []string{"Deployment/" + name}, objects.selected(t, d.Spec.Selector))
		require.Len(t, d.Spec.Template.Spec.TopologySpreadConstraints, 2, name)
		for _, spread := range d.Spec.Template.Spec.TopologySpreadConstraints {
			require.Equal(t, []string{"Deployment/" + name}, objects.selected(t, spread.LabelSelector))
		}

		c := d.Spec.Template.Spec.Containers[0]
		require.Equal(t, "/livez", c.LivenessProbe.HTTPGet.Path, name)
		require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path, name)
		for _, probe := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe} {
			require.Equal(t, "http", probe.HTTPGet.Port.StrVal, name)
		}

		budget, ok := objects["PodDisruptionBudget/"+name].(*policyv1.PodDisruptionBudget)
		require.True(t, ok, name)
		require.Equal(t, 1, budget.Spec.MaxUnavailable.IntValue(), name)
		require.Equal(t, []string{"Deployment/" + name}, objects.selected(t, budget.Spec.Selector))
	}
}

// What names a port, a pod or a deployment names one that is there.
func TestNamesAreThere(t *testing.T) {
	t.Parallel()
	objects := render(t)
	ports := func(pods []string) (names []string) {
		for _, pod := range pods {
			for _, port := range objects.pods()[pod].Spec.Containers[0].Ports {
				names = append(names, port.Name)
			}
		}
		return names
	}

	service, ok := objects["Service/outhook"].(*corev1.Service)
	require.True(t, ok)
	pods := objects.selected(t, &metav1.LabelSelector{MatchLabels: service.Spec.Selector})
	require.Equal(t, []string{"Deployment/outhook-api"}, pods, "clients reach no worker")
	require.Contains(t, ports(pods), service.Spec.Ports[0].TargetPort.StrVal)

	for _, name := range []string{"outhook-api", "outhook-worker", "outhook-migrate"} {
		policy, ok := objects["NetworkPolicy/"+name].(*networkingv1.NetworkPolicy)
		require.True(t, ok, name)
		pods := objects.selected(t, &policy.Spec.PodSelector)
		require.Len(t, pods, 1, name)
		require.True(t, strings.HasSuffix(pods[0], "/"+name), name)
		for _, rule := range policy.Spec.Ingress {
			for _, port := range rule.Ports {
				require.Contains(t, ports(pods), port.Port.StrVal, name)
			}
		}
	}

	scaler, ok := objects["HorizontalPodAutoscaler/outhook-api"].(*autoscalingv2.HorizontalPodAutoscaler)
	require.True(t, ok)
	require.Contains(t, objects, scaler.Spec.ScaleTargetRef.Kind+"/"+scaler.Spec.ScaleTargetRef.Name)
	require.True(t, slices.ContainsFunc(slices.Collect(maps.Keys(objects)), func(name string) bool {
		return strings.HasPrefix(name, "ConfigMap/outhook-")
	}), "its name follows its content")
}
