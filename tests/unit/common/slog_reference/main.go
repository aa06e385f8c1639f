// Prints each event of standard input the way Go's own log/slog does. Standard library only.
package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"time"
)

type event struct {
	Nanoseconds int64
	Level       slog.Level
	Msg         string
	Fields      [][2]any
}

func main() {
	handler := slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug})
	decoder := json.NewDecoder(os.Stdin)
	decoder.UseNumber()
	for {
		var next event
		if err := decoder.Decode(&next); err == io.EOF {
			return
		} else if err != nil {
			panic(err)
		}
		record := slog.NewRecord(time.Unix(0, next.Nanoseconds).UTC(), next.Level, next.Msg, 0)
		for _, field := range next.Fields {
			record.AddAttrs(slog.Any(field[0].(string), field[1]))
		}
		if err := handler.Handle(context.Background(), record); err != nil {
			panic(err)
		}
	}
}
