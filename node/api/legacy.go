package api

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/resource"
)

// What tools read from the endpoints older than the v1 API: the same facts under
// the older names ("slave" for agent) and in plainer shapes.
// Mesos: src/common/http.cpp and src/master/readonly_handler.cpp.

// object is a JSON object; its keys are written in order.
type object = map[string]any

func sortedKeys[M ~map[string]V, V any](m M) []string { return slices.Sorted(maps.Keys(m)) }

// gzipFrom is the size from which a response is worth compressing, in bytes.
const gzipFrom = 1024

func writeCompressed(w http.ResponseWriter, r *http.Request, media string, body []byte) error {
	if len(body) < gzipFrom || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		writeBody(w, http.StatusOK, media, body)
		return nil
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := z.Write(body); err != nil {
		return fmt.Errorf("compress response: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress response: %w", err)
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Add("Vary", "Accept-Encoding")
	writeBody(w, http.StatusOK, media, packed.Bytes())
	return nil
}

// resources sums by name: scalars as numbers, ranges and sets as text. The four
// well-known scalars are always there; revocable ones have names of their own.
func resources(list []*mesos.Resource) object {
	out := object{"cpus": 0.0, "gpus": 0.0, "mem": 0.0, "disk": 0.0}
	set, err := resource.FromProto(list)
	if err != nil {
		return out
	}
	addResources(out, set.NonRevocable(), "")
	addResources(out, set.Revocable(), "_revocable")
	return out
}

func addResources(out object, set resource.Set, suffix string) {
	ranges, sets := map[string]bool{}, map[string][]string{}
	for _, r := range set.Proto() {
		name := r.GetName() + suffix
		switch r.GetType() {
		case mesos.Value_SCALAR:
			out[name] = float64(set.Scalar(r.GetName())) / resource.Milli
		case mesos.Value_RANGES:
			ranges[r.GetName()] = true
		case mesos.Value_SET:
			sets[name] = append(sets[name], r.GetSet().GetItem()...)
		}
	}
	for name := range ranges {
		out[name+suffix] = rangesText(set.Ranges(name))
	}
	for name, items := range sets {
		slices.Sort(items)
		out[name] = "{" + strings.Join(slices.Compact(items), ", ") + "}"
	}
}

func rangesText(ranges []resource.Range) string {
	var parts []string
	for _, r := range ranges {
		parts = append(parts, fmt.Sprintf("%d-%d", r.Begin, r.End))
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// full is a list of messages in Mesos's own JSON.
func full[M proto.Message](list []M) []rawJSON {
	out := []rawJSON{}
	for _, m := range list {
		out = append(out, raw(m))
	}
	return out
}

// rawJSON is a message already encoded.
type rawJSON []byte

func (r rawJSON) MarshalJSON() ([]byte, error) { return r, nil }

// raw encodes m; nil, which JSON writes as null, if it cannot be.
func raw(m proto.Message) rawJSON {
	b, err := mesos.MarshalJSON(m)
	if err != nil {
		return rawJSON("null")
	}
	return b
}

func attributes(list []*mesos.Attribute) object {
	out := object{}
	for _, a := range list {
		switch a.GetType() {
		case mesos.Value_SCALAR:
			out[a.GetName()] = a.GetScalar().GetValue()
		case mesos.Value_TEXT:
			out[a.GetName()] = a.GetText().GetValue()
		case mesos.Value_RANGES:
			var parts []string
			for _, r := range a.GetRanges().GetRange() {
				parts = append(parts, fmt.Sprintf("%d-%d", r.GetBegin(), r.GetEnd()))
			}
			out[a.GetName()] = "[" + strings.Join(parts, ", ") + "]"
		case mesos.Value_SET:
			out[a.GetName()] = "{" + strings.Join(a.GetSet().GetItem(), ", ") + "}"
		}
	}
	return out
}

func labels(l *mesos.Labels) []object {
	out := []object{}
	for _, label := range l.GetLabels() {
		o := object{"key": label.GetKey()}
		if label.Value != nil {
			o["value"] = label.GetValue()
		}
		out = append(out, o)
	}
	return out
}

// taskObject is a task in /state, /tasks and an agent's /state.
func taskObject(t *mesos.Task) object {
	o := object{
		"id": t.GetTaskId().GetValue(), "name": t.GetName(),
		"framework_id": t.GetFrameworkId().GetValue(),
		"executor_id":  t.GetExecutorId().GetValue(),
		"slave_id":     t.GetAgentId().GetValue(),
		"state":        t.GetState().String(),
		"resources":    resources(t.GetResources()),
		"role":         allocatedRole(t.GetResources()),
		"statuses":     statusObjects(t.GetStatuses()),
	}
	if t.Labels != nil {
		o["labels"] = labels(t.GetLabels())
	}
	if t.Discovery != nil {
		o["discovery"] = raw(t.GetDiscovery())
	}
	if t.Container != nil {
		o["container"] = raw(t.GetContainer())
	}
	if t.HealthCheck != nil {
		o["health_check"] = raw(t.GetHealthCheck())
	}
	if t.User != nil {
		o["user"] = t.GetUser()
	}
	if len(t.GetLimits()) > 0 {
		limits := object{}
		for name, v := range t.GetLimits() {
			limits[name] = v.GetValue()
		}
		o["limits"] = limits
	}
	return o
}

func statusObjects(list []*mesos.TaskStatus) []object {
	out := []object{}
	for _, s := range list {
		o := object{"state": s.GetState().String(), "timestamp": s.GetTimestamp()}
		if s.Labels != nil {
			o["labels"] = labels(s.GetLabels())
		}
		if s.ContainerStatus != nil {
			o["container_status"] = raw(s.GetContainerStatus())
		}
		if s.Healthy != nil {
			o["healthy"] = s.GetHealthy()
		}
		if s.CheckStatus != nil {
			o["check_status"] = raw(s.GetCheckStatus())
		}
		out = append(out, o)
	}
	return out
}

func allocatedRole(list []*mesos.Resource) string {
	for _, r := range list {
		if role := r.GetAllocationInfo().GetRole(); role != "" {
			return role
		}
	}
	return "*"
}

// page reads limit, offset and order of a query. Mesos: 100 tasks unless told.
func page[T any](r *http.Request, list []T) ([]T, error) {
	limit, err := countValue(r, "limit", 100)
	if err != nil {
		return nil, err
	}
	offset, err := countValue(r, "offset", 0)
	if err != nil {
		return nil, err
	}
	switch order := r.FormValue("order"); order {
	case "", "des", "desc":
		list = slices.Clone(list)
		slices.Reverse(list)
	case "asc":
	default:
		return nil, refuse(http.StatusBadRequest, "Failed to parse order: '%s' is neither 'asc' nor 'desc'.", order)
	}
	list = list[min(offset, len(list)):]
	return list[:min(limit, len(list))], nil
}

func countValue(r *http.Request, name string, unset int) (int, error) {
	text := r.FormValue(name)
	if text == "" {
		return unset, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, refuse(http.StatusBadRequest, "Failed to parse %s: '%s' is not a count.", name, text)
	}
	return n, nil
}
