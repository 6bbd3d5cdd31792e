// Included before anything else of ssh2's cipher addon. From Node 24 on, node::ObjectWrap takes its cleanup hook back in its destructor, and
// aborts the process when that runs in a collection of young objects, where no environment is entered. Without the hook an object that
// is still alive at the end of the process goes with it, as it always did.
#include <node.h>
#define AddEnvironmentCleanupHook(isolate, hook, argument) ((void)0)
#define RemoveEnvironmentCleanupHook(isolate, hook, argument) ((void)0)
#include <node_object_wrap.h>
#undef AddEnvironmentCleanupHook
#undef RemoveEnvironmentCleanupHook
