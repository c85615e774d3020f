package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"muster/node/link"
	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/view"
	"muster/telemetry/metrics"
)

// Views gives the cluster as its leader knows it; what it returns is not modified.
type Views interface {
	Snapshot(ctx context.Context) (*view.View, error)
	Watch(ctx context.Context) (w *link.Watch, done func(), err error)
}

// readWait is how long a read waits for a view of the cluster.
const readWait = 5 * time.Second

// operatorAPI serves POST /api/v1 of the master.
type operatorAPI struct {
	cfg         Config
	gateway     *Gateway
	views       Views
	files       *Files
	metrics     *metrics.Set
	answers     *answers
	subscribers subscribers
}

func (a *operatorAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := a.serve(w, r); err != nil {
		writeError(w, err)
	}
}

func (a *operatorAPI) serve(w http.ResponseWriter, r *http.Request) error {
	var call master.Call
	if err := readCall(w, r, "Call", &call); err != nil {
		return err
	}
	if call.Type == nil {
		return refuse(http.StatusBadRequest, "Failed to validate master::Call: Expecting 'type' to be present")
	}
	if field := missing(&call, call.GetType().String()); field != "" {
		return refuse(http.StatusBadRequest, "Failed to validate master::Call: Expecting '%s' to be present", field)
	}
	out, err := responseCodec(r)
	if err != nil {
		return err
	}
	switch call.GetType() {
	case master.Call_UNKNOWN:
		return refuse(http.StatusNotImplemented, "UNKNOWN is not supported")
	case master.Call_SUBSCRIBE:
		return a.subscribe(w, r, out)
	}
	if write := wholes[call.GetType()]; write != nil {
		return a.whole(w, r, out, call.GetType(), write)
	}
	if build := reads[call.GetType()]; build != nil {
		return a.read(w, r, out, call.GetType(), build)
	}
	response, err := a.local(&call)
	if err != nil {
		return err
	}
	if response != nil {
		response.Type = responseType(call.GetType())
		return writeMessage(w, out, response)
	}
	reply, err := a.gateway.Operate(r.Context(), principal(r), &call)
	if err != nil {
		return err
	}
	if reply.Operator != nil {
		return writeMessage(w, out, reply.Operator)
	}
	writeReply(w, reply)
	return nil
}

func (a *operatorAPI) read(w http.ResponseWriter, r *http.Request, out codec, t master.Call_Type, build func(*view.View) *master.Response) error {
	v, err := snapshot(r.Context(), a.views)
	if err != nil {
		return err
	}
	response := build(v)
	response.Type = responseType(t)
	return writeMessage(w, out, response)
}

// whole answers with a tree of the cluster's view.
func (a *operatorAPI) whole(w http.ResponseWriter, r *http.Request, out codec, call master.Call_Type, write func(tree, *view.View)) error {
	body, err := a.answers.ofView(r.Context(), a.views, call.String()+" "+out.media, func(e *encoding, v *view.View) ([][]byte, error) {
		t := newTree(out, e)
		t.put(t.fields(nil, &master.Response{Type: responseType(call)}))
		t.message(fieldOf(&master.Response{}, strings.ToLower(call.String())), func() { write(t, v) })
		return t.body()
	})
	if err != nil {
		return err
	}
	writeBody(w, http.StatusOK, out.media, body...)
	return nil
}

// missing names the payload that a call of type t asks for and lacks: the field
// that bears the type's name.
func missing(call proto.Message, t string) string {
	m := call.ProtoReflect()
	field := m.Descriptor().Fields().ByName(protoreflect.Name(strings.ToLower(t)))
	if field == nil || m.Has(field) {
		return ""
	}
	return string(field.Name())
}

// responseType names the response to a call: they share their names.
func responseType(t master.Call_Type) *master.Response_Type {
	return master.Response_Type(master.Response_Type_value[t.String()]).Enum()
}

// reads are the calls that a view answers, but for the wholes.
var reads = map[master.Call_Type]func(*view.View) *master.Response{
	master.Call_GET_ROLES: func(v *view.View) *master.Response {
		return &master.Response{GetRoles: v.GetRoles()}
	},
	master.Call_GET_MASTER: func(v *view.View) *master.Response {
		return &master.Response{GetMaster: v.GetMaster()}
	},
	master.Call_GET_OPERATIONS: func(v *view.View) *master.Response {
		return &master.Response{GetOperations: v.GetOperations()}
	},
	master.Call_GET_WEIGHTS: func(v *view.View) *master.Response {
		return &master.Response{GetWeights: v.GetWeights()}
	},
	master.Call_GET_QUOTA: func(v *view.View) *master.Response {
		return &master.Response{GetQuota: v.GetQuota()}
	},
	master.Call_GET_MAINTENANCE_STATUS: func(v *view.View) *master.Response {
		return &master.Response{GetMaintenanceStatus: v.GetMaintenanceStatus()}
	},
	master.Call_GET_MAINTENANCE_SCHEDULE: func(v *view.View) *master.Response {
		return &master.Response{GetMaintenanceSchedule: v.GetMaintenanceSchedule()}
	},
}

// local answers what this node knows by itself; nil is for the leader to answer.
func (a *operatorAPI) local(call *master.Call) (*master.Response, error) {
	switch call.GetType() {
	case master.Call_GET_HEALTH:
		return &master.Response{GetHealth: &master.Response_GetHealth{Healthy: proto.Bool(true)}}, nil
	case master.Call_GET_VERSION:
		return &master.Response{GetVersion: &master.Response_GetVersion{VersionInfo: a.cfg.Version}}, nil
	case master.Call_GET_FLAGS:
		return &master.Response{GetFlags: &master.Response_GetFlags{Flags: flagList(a.cfg.Flags)}}, nil
	case master.Call_GET_METRICS:
		return &master.Response{GetMetrics: &master.Response_GetMetrics{Metrics: metricList(a.metrics)}}, nil
	case master.Call_GET_LOGGING_LEVEL:
		return &master.Response{GetLoggingLevel: &master.Response_GetLoggingLevel{Level: proto.Uint32(0)}}, nil
	case master.Call_LIST_FILES:
		infos, err := a.files.List(call.GetListFiles().GetPath())
		return &master.Response{ListFiles: &master.Response_ListFiles{FileInfos: infos}}, err
	case master.Call_READ_FILE:
		rf := call.GetReadFile()
		size, data, err := a.files.Read(rf.GetPath(), rf.GetOffset(), rf.Length)
		return &master.Response{ReadFile: &master.Response_ReadFile{Size: &size, Data: data}}, err
	}
	return nil, nil
}

func flagList(flags map[string]string) []*mesos.Flag {
	var list []*mesos.Flag
	for _, name := range sortedKeys(flags) {
		list = append(list, &mesos.Flag{Name: proto.String(name), Value: proto.String(flags[name])})
	}
	return list
}

func metricList(set *metrics.Set) []*mesos.Metric {
	values := set.Snapshot()
	var list []*mesos.Metric
	for _, name := range sortedKeys(values) {
		list = append(list, &mesos.Metric{Name: proto.String(name), Value: proto.Float64(values[name])})
	}
	return list
}
