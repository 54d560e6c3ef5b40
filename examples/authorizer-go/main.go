// A service that decides who clients are. Try it: go run .
package main

import (
	"cmp"
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

var users = map[string]string{"token-of-ann": "ann"} // yours: the sessions of your site, or a database

func main() {
	connection, err := nats.Connect(cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL))
	if err != nil {
		log.Fatal(err)
	}
	connection.QueueSubscribe("_AUTH.gateway", "authorizers", func(request *nats.Msg) {
		var asked struct{ Credentials struct{ Token string } }
		answer := map[string]any{"refused": "unknown token"}
		if json.Unmarshal(request.Data, &asked) == nil && users[asked.Credentials.Token] != "" {
			sub := users[asked.Credentials.Token]
			subjects := map[string]any{"allow": []string{"orders." + sub + ".>"}}
			details := []any{map[string]any{"type": "spillway", "subjects": subjects}}
			answer = map[string]any{"sub": sub, "exp": time.Now().Unix() + 300, "authorization_details": details}
		}
		data, _ := json.Marshal(answer)
		request.Respond(data)
	})
	connection.Flush()
	log.Print("Listening on _AUTH.gateway")
	select {}
}
