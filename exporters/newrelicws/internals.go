package newrelicws

import (
	"reflect"
	"sync"
	"unsafe"

	"github.com/newrelic/go-agent/v3/newrelic"
)

// What New Relic's API does not give is looked up in the agent's own structures,
// each by name and type, and done without where they are not what they were in
// version 3.45: the channel on which End sends, and the stacks of open segments.

// dataQueue returns the channel on which the agent's End sends. It is only asked
// for its length.
func dataQueue(app *newrelic.Application) reflect.Value {
	private := reflect.ValueOf(app.Private)
	if !isStructPointer(private.Kind(), app.Private) || private.IsNil() {
		return reflect.Value{}
	}
	queue := private.Elem().FieldByName("dataChan")
	if !queue.IsValid() || queue.Kind() != reflect.Chan {
		return reflect.Value{}
	}
	return queue
}

func isStructPointer(kind reflect.Kind, of any) bool {
	return kind == reflect.Pointer && reflect.TypeOf(of).Elem().Kind() == reflect.Struct
}

// layout is where the agent keeps the open segments of a transaction. A handle of
// a transaction points to the transaction and to one of its goroutines, which has
// a stack of segments. A segment knows its place in the stack.
type layout struct {
	handle      reflect.Type // of Transaction.Private
	txn, thread uintptr      // pointers in a handle
	lock        uintptr      // in the transaction
	stack       uintptr      // in the goroutine
	stackType   reflect.Type
	depth       uintptr // in a SegmentStartTime
	startHandle uintptr // in a SegmentStartTime
}

// findLayout returns nil when the agent is not what it was.
func findLayout() *layout {
	handle, ok := field(reflect.TypeFor[newrelic.Transaction](), "thread", reflect.Pointer)
	if !ok {
		return nil
	}
	start := reflect.TypeFor[newrelic.SegmentStartTime]()
	txn, ok1 := field(handle.Type.Elem(), "txn", reflect.Pointer)
	thread, ok2 := field(handle.Type.Elem(), "thread", reflect.Pointer)
	place, ok3 := field(start, "start", reflect.Struct)
	startHandle, ok4 := field(start, "thread", reflect.Pointer)
	if !ok1 || !ok2 || !ok3 || !ok4 || startHandle.Type != handle.Type {
		return nil
	}
	lock, ok1 := field(txn.Type.Elem(), "Mutex", reflect.Struct)
	stack, ok2 := field(thread.Type.Elem(), "stack", reflect.Slice)
	depth, ok3 := field(place.Type, "Depth", reflect.Int)
	if !ok1 || !ok2 || !ok3 || lock.Type != reflect.TypeFor[sync.Mutex]() {
		return nil
	}
	return &layout{
		handle: handle.Type, txn: txn.Offset, thread: thread.Offset, lock: lock.Offset,
		stack: stack.Offset, stackType: stack.Type, depth: place.Offset + depth.Offset, startHandle: startHandle.Offset,
	}
}

// field returns a field that a struct itself has.
func field(of reflect.Type, name string, kind reflect.Kind) (reflect.StructField, bool) {
	if of.Kind() != reflect.Struct {
		return reflect.StructField{}, false
	}
	f, ok := of.FieldByName(name)
	return f, ok && len(f.Index) == 1 && f.Type.Kind() == kind
}

// pointers returns what a handle points to.
func (l *layout) pointers(tx *newrelic.Transaction) (txn, thread unsafe.Pointer) {
	private := reflect.ValueOf(tx.Private)
	if !private.IsValid() || private.Type() != l.handle || private.IsNil() {
		return nil, nil
	}
	handle := private.UnsafePointer()
	return *(*unsafe.Pointer)(unsafe.Add(handle, l.txn)), *(*unsafe.Pointer)(unsafe.Add(handle, l.thread))
}

// same reports whether two handles are of one transaction, such as those that
// NewGoroutine makes.
func (l *layout) same(a, b *newrelic.Transaction) bool {
	if l == nil || a == nil || b == nil {
		return a == b
	}
	x, _ := l.pointers(a)
	y, _ := l.pointers(b)
	return x == y && x != nil
}

// locked calls f with the stack of a handle's goroutine.
func (l *layout) locked(tx *newrelic.Transaction, f func(stack reflect.Value)) {
	txn, thread := l.pointers(tx)
	lock := (*sync.Mutex)(unsafe.Add(txn, l.lock))
	lock.Lock()
	defer lock.Unlock()
	f(reflect.NewAt(l.stackType, unsafe.Add(thread, l.stack)).Elem())
}

// open returns how many segments are open on a handle's goroutine, whoever has
// started them.
func (l *layout) open(tx *newrelic.Transaction) (n int) {
	txn, thread := l.pointers(tx)
	lock := (*sync.Mutex)(unsafe.Add(txn, l.lock))
	lock.Lock()
	defer lock.Unlock()
	return reflect.NewAt(l.stackType, unsafe.Add(thread, l.stack)).Elem().Len()
}

// copyStack puts copies of the outermost segments of a goroutine on another, new
// one of the same transaction: whoever is above them there is their child.
func (l *layout) copyStack(from, to *newrelic.Transaction, n int) {
	var copied reflect.Value
	l.locked(from, func(stack reflect.Value) {
		n = min(n, stack.Len())
		copied = reflect.MakeSlice(l.stackType, n, n+1)
		reflect.Copy(copied, stack.Slice(0, n))
	})
	l.locked(to, func(stack reflect.Value) { stack.Set(copied) })
}

// trim makes the segments beyond the outermost vanish unrecorded.
func (l *layout) trim(tx *newrelic.Transaction, n int) {
	l.locked(tx, func(stack reflect.Value) { stack.Set(stack.Slice(0, n)) })
}

// depthOf returns how many segments of its goroutine are below a segment.
func (l *layout) depthOf(start *newrelic.SegmentStartTime) int {
	return *(*int)(unsafe.Add(unsafe.Pointer(start), l.depth))
}

// rebase makes a segment end on another goroutine, where a copy of it is.
func (l *layout) rebase(start *newrelic.SegmentStartTime, to *newrelic.Transaction) {
	*(*unsafe.Pointer)(unsafe.Add(unsafe.Pointer(start), l.startHandle)) = reflect.ValueOf(to.Private).UnsafePointer()
}
