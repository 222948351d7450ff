// Prints what BuildKit's own parser makes of the cases on standard input: one JSON object
// {"files": {name: text}, "words": [{text, env, escape}]}. `python -m tests.dockerfile.golden` runs it.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

type document struct {
	Name, Content string
	Expand, Chomp bool
}

type instruction struct {
	Keyword   string
	Words     []string
	Exec      bool
	Flags     []string
	Heredocs  []document
	Line, End int
	OnBuild   bool
}

type asked struct {
	Files map[string]string
	Words []struct {
		Text, Escape string
		Env          []string
	}
}

func read(text []byte) any {
	result, err := parser.Parse(bytes.NewReader(text))
	if err != nil {
		return nil
	}
	found := []instruction{}
	for _, node := range result.AST.Children {
		one := instruction{Line: node.StartLine, End: node.EndLine, Words: []string{}, Flags: []string{}, Heredocs: []document{}}
		for _, h := range node.Heredocs {
			one.Heredocs = append(one.Heredocs, document{h.Name, h.Content, h.Expand, h.Chomp})
		}
		if strings.EqualFold(node.Value, "onbuild") && node.Next != nil && len(node.Next.Children) > 0 {
			node, one.OnBuild = node.Next.Children[0], true
		}
		one.Keyword, one.Exec = strings.ToUpper(node.Value), node.Attributes["json"]
		one.Flags = append(one.Flags, node.Flags...)
		for next := node.Next; next != nil; next = next.Next {
			one.Words = append(one.Words, next.Value)
		}
		found = append(found, one)
	}
	return found
}

func main() {
	var in asked
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		panic(err)
	}
	files, lexed := map[string]any{}, []any{}
	for name, text := range in.Files {
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			panic(err)
		}
		files[name] = read(raw)
	}
	for _, one := range in.Words {
		lex, env := shell.NewLex(rune(one.Escape[0])), shell.EnvsFromSlice(one.Env)
		word, _, err := lex.ProcessWord(one.Text, env)
		words, again := lex.ProcessWords(one.Text, env)
		if err != nil || again != nil {
			lexed = append(lexed, nil)
		} else {
			lexed = append(lexed, map[string]any{"word": word, "words": append([]string{}, words...)})
		}
	}
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	out.SetIndent("", " ")
	if err := out.Encode(map[string]any{"files": files, "words": lexed}); err != nil {
		panic(err)
	}
}
