package intake

import (
	"bufio"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"net/http"
	"time"

	"github.com/elastic/apm-data/input/elasticapm"
	"github.com/elastic/apm-data/model/modeljson"
	"github.com/elastic/apm-data/model/modelpb"
	"github.com/elastic/apm-data/model/modelprocessor"
	"go.elastic.co/fastjson"
)

var (
	// ErrBody is why a request is rejected whose body breaks off, or is not
	// compressed as its header says. The events before that are taken.
	ErrBody = errors.New("cannot read the body")

	// ErrBodyTooLarge is why the rest of a body beyond MaxBodySize is rejected.
	ErrBodyTooLarge = errors.New("the body exceeds the permitted size")
)

// decode reads a request to its end, keeping what it has of documents as they come.
func (s *Server) decode(r *http.Request) (*elasticapm.Result, error) {
	result := new(elasticapm.Result)
	plain, err := decompress(r)
	if err != nil {
		return result, err
	}
	body := &limited{from: plain, left: MaxBodySize}
	var stream io.Reader = body
	if !s.DropBodies {
		stream = io.TeeReader(body, &sentWriter{server: s})
	}
	base := &modelpb.APMEvent{Event: &modelpb.Event{Received: modelpb.FromTime(time.Now())}}
	err = s.decoder.HandleStream(r.Context(), base, stream, batchSize, s.chain(), result)
	// What the decoder has left of a body that it gave up is sent all the same. If
	// it cannot be read, the body remembers why.
	_, _ = io.Copy(io.Discard, stream)
	if body.err != nil {
		return result, body.err
	}
	return result, err
}

// chain is what APM Server does to decoded events, in its order, and at its end
// what Elasticsearch does.
func (s *Server) chain() modelpb.BatchProcessor {
	return modelprocessor.Chained{
		modelprocessor.RemoveEventReceived{},
		modelprocessor.SetHostHostname{},
		modelprocessor.SetServiceNodeName{},
		// The server's hash is another; only that equal errors have equal keys matters.
		modelprocessor.SetGroupingKey{NewHash: func() hash.Hash { return fnv.New64a() }},
		modelprocessor.SetErrorMessage{},
		&modelprocessor.SetDataStream{Namespace: "default"},
		modelpb.ProcessBatchFunc(s.aggregate), // before unsampled ones go
		modelprocessor.NewDropUnsampled(false, func(int64) {}),
		modelpb.ProcessBatchFunc(s.index),
	}
}

func (s *Server) aggregate(_ context.Context, batch *modelpb.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, event := range *batch {
		s.aggregates.add(event)
	}
	return nil
}

func (s *Server) index(_ context.Context, batch *modelpb.Batch) error {
	for _, event := range *batch {
		if s.Keep != nil && !s.Keep(streamOf(event)) {
			continue
		}
		document, err := indexed(event)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.documents = append(s.documents, document)
		s.mu.Unlock()
	}
	return nil
}

// streamOf is the data stream that an event goes to.
func streamOf(event *modelpb.APMEvent) string {
	stream := event.GetDataStream()
	return stream.GetType() + "-" + stream.GetDataset() + "-" + stream.GetNamespace()
}

// indexed is the document that Elasticsearch makes of an event.
func indexed(event *modelpb.APMEvent) (Document, error) {
	var encoded fastjson.Writer
	if err := modeljson.MarshalAPMEvent(event, &encoded); err != nil {
		return nil, fmt.Errorf("cannot encode the document: %w", err)
	}
	var source map[string]any
	if err := json.Unmarshal(encoded.Bytes(), &source); err != nil {
		return nil, fmt.Errorf("cannot decode the document: %w", err)
	}
	rewrite(source, event.Type())
	return flatten(source), nil
}

// decompress undoes what the agent did to the body.
func decompress(r *http.Request) (io.Reader, error) {
	packed := bufio.NewReader(r.Body)
	if _, err := packed.Peek(1); errors.Is(err, io.EOF) {
		return http.NoBody, nil // given up before there was anything to send
	}
	var plain io.Reader
	var err error
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "":
		return packed, nil
	case "deflate":
		plain, err = zlib.NewReader(packed)
	case "gzip":
		plain, err = gzip.NewReader(packed)
	default:
		err = fmt.Errorf("unknown content encoding %q", encoding)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBody, err)
	}
	return plain, nil
}

// limited reads at most so much, and remembers why it could not read on: the
// decoder takes the end of a broken body for the end of the events.
type limited struct {
	from io.Reader
	left int64
	err  error
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	if l.left <= 0 {
		l.err = ErrBodyTooLarge
		return 0, l.err
	}
	if int64(len(p)) > l.left {
		p = p[:l.left]
	}
	n, err := l.from.Read(p)
	l.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		l.err = fmt.Errorf("%w: %w", ErrBody, err)
		return n, l.err
	}
	return n, err
}
