#include <assert.h>
#include <string.h>

#include "tests/common/fake_disk.h"
#include "tests/fuzz/common/fuzz.h"
#include "worker/replica/identity.h"

/* DATA/identity: taken as it is, and with a checksum that fits. What can be read raises the start by one, and is
 * what the next start reads. */

static void try_file(struct bytes file)
{
	struct fake_disk *disk = fake_disk_new();
	struct identity first, second;

	fake_disk_put(disk, "identity", file);
	if (identity_open(&first, fake_disk_of(disk), "n1") == ERR_OK) {
		assert(identity_open(&second, fake_disk_of(disk), "n1") == ERR_OK);
		assert(second.start == first.start + 1 && second.incarnation == first.incarnation);
		assert(second.phase == first.phase && second.cluster == first.cluster);
		assert(bytes_equal(blob_bytes(first.founding), blob_bytes(second.founding)));
		assert(strcmp(first.id, second.id) == 0);
		identity_free(&first);
		identity_free(&second);
	}
	fake_disk_free(disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_sealed(bytes_of(data, size), try_file);
	return 0;
}
