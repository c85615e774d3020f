package main

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"muster/offers/mesos"
	"muster/offers/mesos/master"
)

func TestFrameworksAreFoundByIDAndName(t *testing.T) {
	framework := func(id, name string) *master.Response_GetFrameworks_Framework {
		return &master.Response_GetFrameworks_Framework{FrameworkInfo: &mesos.FrameworkInfo{
			Id: &mesos.FrameworkID{Value: proto.String(id)}, Name: proto.String(name)}}
	}
	all := &master.Response_GetFrameworks{
		Frameworks:          []*master.Response_GetFrameworks_Framework{framework("ab-0000", "web"), framework("ab-0001", "db"), framework("cd-0010", "db")},
		CompletedFrameworks: []*master.Response_GetFrameworks_Framework{framework("ab-0002", "old")},
	}
	for text, want := range map[string]string{
		"ab-0000": "ab-0000", "cd": "cd-0010", "0001": "ab-0001", "web": "ab-0000", "old": "ab-0002",
		"db": "any of 2 frameworks: name one of ab-0001, cd-0010", "ab": "any of 3", "10": `no framework is "10"`, "": "no framework is",
	} {
		f, err := findFramework(all, text, true)
		got := f.GetFrameworkInfo().GetId().GetValue()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	if _, err := findFramework(all, "old", false); err == nil {
		t.Error("a completed framework is found among those that are not")
	}
}

func TestAmountsAreReadAndWritten(t *testing.T) {
	got, err := parseAmounts("cpus:4,mem:0")
	if err != nil || len(got) != 2 || got["cpus"].GetValue() != 4 || got["mem"] == nil {
		t.Errorf("got %v, %v", got, err)
	}
	for _, text := range []string{"cpus", "cpus:-1", "ports:[1-2]", "cpus:1,cpus:2"} {
		if _, err := parseAmounts(text); err == nil {
			t.Errorf("%q is an amount", text)
		}
	}
	if got := amounts(map[string]float64{"cpus": 0, "mem": 1.5}, false); got != "mem:1.5" {
		t.Error(got)
	}
	if got := amounts(map[string]float64{"cpus": 0}, true); got != "cpus:0" {
		t.Error(got)
	}
}
