package offers

import (
	"math"
	"strings"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
	"muster/offers/registry"
	"muster/offers/resource"
	"muster/offers/view"
)

// updateWeights sets the weights of some roles. All offers are taken back when
// one of the roles has frameworks: they were made by other shares.
// Mesos: src/master/weights_handler.cpp, WeightsHandler::_updateWeights.
func (m *Master) updateWeights(l Link, id uint64, call *master.Call_UpdateWeights) {
	weights, err := validateWeights(call.GetWeightInfos())
	if err != nil {
		m.reply(l, id, statusBadRequest, "Failed to validate update weights request JSON"+err.Error())
		return
	}
	if len(weights) == 0 {
		m.reply(l, id, statusOK, "")
		return
	}
	m.propose(updateWeights(weights), func(err error) {
		if err != nil {
			m.reply(l, id, statusUnavailable, "update weights: "+err.Error())
			return
		}
		m.applyWeights(weights)
		m.reply(l, id, statusOK, "")
	})
}

func updateWeights(weights []*mesos.WeightInfo) *registry.Op {
	return &registry.Op{Op: &registry.Op_UpdateWeights{UpdateWeights: &registry.UpdateWeights{Weights: weights}}}
}

// validateWeights returns the weights with their roles trimmed.
func validateWeights(infos []*mesos.WeightInfo) ([]*mesos.WeightInfo, error) {
	var out []*mesos.WeightInfo
	for _, w := range infos {
		role := strings.TrimSpace(w.GetRole())
		if err := resource.ValidateRole(role); err != nil {
			return nil, answerf(": Invalid role '%s': %v", role, err)
		}
		if v := w.GetWeight(); !(v > 0) || math.IsInf(v, 1) {
			return nil, answerf(" for role '%s': Invalid weight '%v': Weights must be positive", role, v)
		}
		out = append(out, &mesos.WeightInfo{Role: proto.String(role), Weight: w.Weight})
	}
	return out, nil
}

// applyWeights makes weights that are in the registry count.
func (m *Master) applyWeights(weights []*mesos.WeightInfo) {
	active := false
	for _, w := range weights {
		m.tellWeight(w)
		active = active || m.hasFrameworks(w.GetRole())
	}
	if !active {
		return
	}
	for _, o := range byNumber(m.offers) {
		m.rescind(o, nil)
	}
}

func (m *Master) tellWeight(w *mesos.WeightInfo) {
	m.allocator.SetWeight(m.now, w.GetRole(), w.GetWeight())
	m.publish(view.WeightEvent(w))
}

// hasFrameworks reports whether a framework is subscribed to a role or one below
// it, or holds something under it.
func (m *Master) hasFrameworks(role string) bool {
	for _, f := range m.frameworks {
		for _, list := range [][]string{f.roles, f.used.AllocatedRoles(), f.offered.AllocatedRoles()} {
			for _, r := range list {
				if r == role || resource.IsBelow(r, role) {
					return true
				}
			}
		}
	}
	return false
}

// recoverRoles brings in the quotas and weights that the registry remembers. The
// weights of the configuration are for a cluster that has none yet.
func (m *Master) recoverRoles() {
	for _, w := range m.facts.Weights() {
		m.tellWeight(w)
	}
	for _, c := range m.facts.Quotas() {
		m.applyQuota(c.GetRole())
	}
	if len(m.facts.Weights()) > 0 || len(m.cfg.Weights) == 0 {
		return
	}
	var first []*mesos.WeightInfo
	for _, role := range sortedKeys(m.cfg.Weights) {
		first = append(first, &mesos.WeightInfo{Role: proto.String(role), Weight: proto.Float64(m.cfg.Weights[role])})
	}
	m.proposeSurely(updateWeights(first), func() { m.applyWeights(m.facts.Weights()) })
}
