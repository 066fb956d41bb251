package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func answer(t *testing.T, handler http.Handler, method, path, body string) (int, string) {
	t.Helper()
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, httptest.NewRequest(method, path, strings.NewReader(body)))
	return recorder.Code, strings.TrimSpace(recorder.Body.String())
}

func TestRequests(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		status                   int
		reply                    string
	}{
		{"it is well", "GET", "/health", "", 200, `{"status":"ok"}`},
		{"an empty list is a list", "GET", "/todos", "", 200, `[]`},
		{"a todo without a title is refused", "POST", "/todos", `{"title":" "}`, 400, `{"error":"a todo needs a title"}`},
		{"what is not JSON is refused", "POST", "/todos", `milk`, 400, `{"error":"the body is not a todo in JSON"}`},
		{"nothing is deleted", "DELETE", "/todos", "", 405, `{"error":"use GET or POST"}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, reply := answer(t, newHandler(&list{}), test.method, test.path, test.body)
			if status != test.status || reply != test.reply {
				t.Errorf("got %d %s, want %d %s", status, reply, test.status, test.reply)
			}
		})
	}
}

func TestAddedTodosAreListedInOrder(t *testing.T) {
	handler := newHandler(&list{})
	for _, body := range []string{`{"title":"buy milk"}`, `{"title":"drink it","done":true}`} {
		if status, reply := answer(t, handler, "POST", "/todos", body); status != 201 {
			t.Fatalf("POST %s: %d %s", body, status, reply)
		}
	}
	_, reply := answer(t, handler, "GET", "/todos", "")
	want := `[{"id":1,"title":"buy milk","done":false},{"id":2,"title":"drink it","done":true}]`
	if reply != want {
		t.Errorf("got %s, want %s", reply, want)
	}
}

func TestHealthCheckAsksTheServer(t *testing.T) {
	server := httptest.NewServer(newHandler(&list{}))
	if code := check(server.URL + "/health"); code != 0 {
		t.Errorf("a running server: exit code %d", code)
	}
	server.Close()
	if code := check(server.URL + "/health"); code != 1 {
		t.Errorf("a stopped server: exit code %d", code)
	}
}
