package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

// maxBody bounds the JSON of one request, in bytes.
const maxBody = 64 << 10

// todo is one thing to do.
type todo struct {
	ID    int    `json:"id"`
	Title string `json:"title"`
	Done  bool   `json:"done"`
}

// list keeps the things to do, in the order in which they came.
type list struct {
	mutex sync.Mutex
	todos []todo
}

func (l *list) add(title string, done bool) todo {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	added := todo{ID: len(l.todos) + 1, Title: title, Done: done}
	l.todos = append(l.todos, added)
	return added
}

func (l *list) all() []todo {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return append([]todo{}, l.todos...)
}

// newHandler routes GET /health, GET /todos and POST /todos.
func newHandler(todos *list) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("/todos", func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet:
			reply(w, http.StatusOK, todos.all())
		case http.MethodPost:
			var wanted todo
			body := http.MaxBytesReader(w, r.Body, maxBody)
			if err := json.NewDecoder(body).Decode(&wanted); err != nil {
				refuse(w, http.StatusBadRequest, "the body is not a todo in JSON")
				return
			}
			title := strings.TrimSpace(wanted.Title)
			if title == "" {
				refuse(w, http.StatusBadRequest, "a todo needs a title")
				return
			}
			reply(w, http.StatusCreated, todos.add(title, wanted.Done))
		default:
			w.Header().Set("Allow", "GET, POST")
			refuse(w, http.StatusMethodNotAllowed, "use GET or POST")
		}
	})
	return mux
}

func reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // the client may be gone; nobody is left to tell
}

func refuse(w http.ResponseWriter, status int, reason string) {
	reply(w, status, map[string]string{"error": reason})
}
