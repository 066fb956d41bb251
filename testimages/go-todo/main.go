// Command go-todo serves a list of things to do, over HTTP, from memory.
package main

import (
	"context"
	"errors"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	// The image has neither curl nor wget: its health check asks the program itself.
	if len(os.Args) == 2 && os.Args[1] == "-check" {
		os.Exit(check("http://127.0.0.1:" + port + "/health"))
	}
	if err := serve(":" + port); err != nil {
		log.Fatal(err)
	}
}

// serve answers requests until SIGTERM or SIGINT, then finishes those under way.
func serve(address string) error {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()

	server := &http.Server{
		Addr:              address,
		Handler:           newHandler(&list{}),
		ReadHeaderTimeout: 5 * time.Second,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	log.Printf("go-todo listens on %s", address)

	select {
	case err := <-failed:
		return err
	case <-stop.Done():
	}
	grace, cancelGrace := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancelGrace()
	if err := server.Shutdown(grace); err != nil {
		return err
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// check returns the exit code of a health check: 0 when the server says that it is well.
func check(url string) int {
	client := http.Client{Timeout: 2 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		log.Print(err)
		return 1
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 1
	}
	return 0
}
