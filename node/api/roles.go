package api

import (
	"bytes"
	"errors"
	"net/http"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/mesos/quota"
	"muster/offers/resource"
	"muster/offers/view"
)

// The endpoints about roles: /roles, /quota and /weights.

func (m *masterAPI) roles(w *writer, _ *http.Request, v *view.View) error {
	w.object(func() {
		w.key("roles").array(func() {
			for _, r := range v.Roles() {
				w.role(r)
			}
		})
	})
	return nil
}

// role writes what one role has, with all below it.
// Mesos: src/master/readonly_handler.cpp, ReadOnlyHandler::roles.
func (w *writer) role(r *view.Role) {
	w.object(func() {
		w.key("name").str(r.Name)
		w.key("weight").num(r.Weight)
		w.key("quota").object(func() {
			w.key("role").str(r.Name)
			w.key("guarantee").amounts(r.Guarantees.All)
			w.key("limit").amounts(r.Limits.All) // of what it does not name there is no limit
			w.key("consumed").quantities(r.Consumed)
		})
		w.key("resources").quantities(r.Allocated.Add(r.Offered))
		w.key("allocated").quantities(r.Allocated)
		w.key("offered").quantities(r.Offered)
		w.key("reserved").quantities(r.Reserved)
		w.key("frameworks").array(func() {
			for _, f := range r.Frameworks {
				w.str(f.GetValue())
			}
		})
	})
}

// quantities writes sums by name, the well-known ones first and also when they are 0.
func (w *writer) quantities(q resource.Quantities) {
	w.amounts(func(yield func(string, int64) bool) {
		for _, name := range wellKnown {
			if !yield(name, q.Get(name)) {
				return
			}
		}
		q.Without(wellKnown[:]...).All(yield)
	})
}

// amounts writes thousandths by name.
func (w *writer) amounts(all func(yield func(name string, milli int64) bool)) {
	w.object(func() {
		for name, milli := range all {
			w.key(name).num(float64(milli) / resource.Milli)
		}
	})
}

// quota serves the older form of quotas: GET all, POST one, DELETE /quota/role.
// Mesos: src/master/http.cpp, Master::Http::quota.
func (m *masterAPI) quota(w http.ResponseWriter, r *http.Request) error {
	if err := only(w, r, http.MethodGet, http.MethodPost, http.MethodDelete); err != nil {
		return err
	}
	switch r.Method {
	case http.MethodPost:
		req := &quota.QuotaRequest{}
		if err := readJSON(w, r, "set quota request", req, "", ""); err != nil {
			return err
		}
		return m.operate(w, r, &master.Call{Type: master.Call_SET_QUOTA.Enum(), SetQuota: &master.Call_SetQuota{QuotaRequest: req}})
	case http.MethodDelete:
		role := r.PathValue("role")
		if role == "" {
			return refuse(http.StatusBadRequest, "Failed to parse remove quota request for path '%s': name the role behind /quota/", r.URL.Path)
		}
		return m.operate(w, r, &master.Call{Type: master.Call_REMOVE_QUOTA.Enum(), RemoveQuota: &master.Call_RemoveQuota{Role: proto.String(role)}})
	}
	return m.read("", func(w *writer, _ *http.Request, v *view.View) error {
		w.message(v.Quota())
		return nil
	})(w, r)
}

// weights serves the older form of weights: GET all, PUT some.
// Mesos: src/master/http.cpp, Master::Http::weights.
func (m *masterAPI) weights(w http.ResponseWriter, r *http.Request) error {
	if err := only(w, r, http.MethodGet, http.MethodPut); err != nil {
		return err
	}
	if r.Method == http.MethodPut {
		update := &master.Call_UpdateWeights{}
		if err := readJSON(w, r, "update weights request", update, `{"weight_infos":`, `}`); err != nil {
			return err
		}
		return m.operate(w, r, &master.Call{Type: master.Call_UPDATE_WEIGHTS.Enum(), UpdateWeights: update})
	}
	return m.read("", func(w *writer, _ *http.Request, v *view.View) error {
		messages(w, v.Weights())
		return nil
	})(w, r)
}

// readJSON reads a body that is JSON whatever its type says, between what makes it
// the message m.
func readJSON(w http.ResponseWriter, r *http.Request, what string, m proto.Message, before, after string) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	err = mesos.UnmarshalJSON(bytes.Join([][]byte{[]byte(before), body, []byte(after)}, nil), m)
	var syntax *mesos.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return refuse(http.StatusBadRequest, "Failed to parse %s JSON '%s': %v", what, body, err)
	case err != nil:
		return refuse(http.StatusBadRequest, "Failed to validate %s JSON '%s': %v", what, body, err)
	}
	return nil
}
