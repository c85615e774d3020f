package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPageNeedsNothingFromElsewhere(t *testing.T) {
	rec := httptest.NewRecorder()
	Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	body := rec.Body.String()
	if rec.Code != http.StatusOK || !strings.Contains(body, "<title>muster</title>") {
		t.Fatalf("%d %.100s", rec.Code, body)
	}
	for _, bad := range []string{"src=\"http", "href=\"http", "@import", "innerHTML"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page holds %s", bad)
		}
	}
}

func TestUnknownPathsAreNotThePage(t *testing.T) {
	rec := httptest.NewRecorder()
	Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/no/such", nil))
	if rec.Code != http.StatusNotFound {
		t.Errorf("%d", rec.Code)
	}
}
