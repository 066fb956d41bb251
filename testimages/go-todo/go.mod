module example.com/go-todo

go 1.19
