// Command manifests reads what deploy/ has for Kubernetes and Docker as their own programs do, for the tests.
//
//	manifests chart FOLDER VALUES NAME=FILE…   renders the chart as "helm template" does, and decodes each object strictly
//	manifests compose FILE                     loads the file as "docker compose config" does
//
// Both print JSON. The exit code is 1 if something is wrong.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/strvals"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) >= 3 && args[0] == "chart":
		return chart(args[1], args[2], args[3:])
	case len(args) == 2 && args[0] == "compose":
		return compose(args[1])
	}
	return errors.New("usage: manifests chart FOLDER VALUES NAME=FILE…, or manifests compose FILE")
}

// chart prints {"notes": "…", "objects": […]}.
func chart(folder, valuesFile string, files []string) error {
	chart, err := loader.Load(folder)
	if err != nil {
		return err
	}
	if err := chart.Validate(); err != nil {
		return err
	}
	values, err := chartutil.ReadValuesFile(valuesFile)
	if err != nil {
		return err
	}
	for _, file := range files {
		read := func(path []rune) (any, error) {
			text, err := os.ReadFile(string(path))
			return string(text), err
		}
		if err := strvals.ParseIntoFile(file, values, read); err != nil {
			return err
		}
	}
	release := chartutil.ReleaseOptions{Name: "live", Namespace: "apps", Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return err
	}
	rendered, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		return err
	}
	printed := struct {
		Notes   string            `json:"notes"`
		Objects []json.RawMessage `json:"objects"`
	}{}
	names := make([]string, 0, len(rendered))
	for name := range rendered {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if strings.HasSuffix(name, "NOTES.txt") {
			printed.Notes = rendered[name]
			continue
		}
		objects, err := decode(rendered[name])
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", name, err, rendered[name])
		}
		printed.Objects = append(printed.Objects, objects...)
	}
	return json.NewEncoder(os.Stdout).Encode(printed)
}

// decode reads objects as the API server does with strict field validation: unknown and repeated fields are errors.
func decode(text string) ([]json.RawMessage, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		apps.AddToScheme, autoscaling.AddToScheme, core.AddToScheme, networking.AddToScheme, policy.AddToScheme,
		gateway.Install, monitoring.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
	var objects []json.RawMessage
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(document)) == 0 {
			continue
		}
		if _, _, err := decoder.Decode(document, nil, nil); err != nil {
			return nil, err
		}
		object, err := yaml.ToJSON(document)
		if err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
}

func compose(file string) error {
	ctx := context.Background()
	options, err := cli.NewProjectOptions([]string{file}, cli.WithResolvedPaths(true))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return err
	}
	text, err := project.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}
