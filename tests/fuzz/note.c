#include <assert.h>
#include <string.h>

#include "tests/common/fake_disk.h"
#include "tests/fuzz/common/fuzz.h"
#include "worker/replica/refound.h"
#include "worker/replica/repair.h"

/* DATA/unfinished and DATA/repair: taken as they are, and with a checksum that fits. What can be read is written and read
 * again as the same; a node starts on no unfinished one. */

static void try_unfinished(struct disk *d)
{
	struct refound first, second;

	assert(refound_check(d) != ERR_OK);
	if (refound_read(&first, d) != ERR_OK)
		return;
	assert(refound_note(&first, d) == ERR_OK && refound_read(&second, d) == ERR_OK);
	assert(first.work == second.work && raft_pos_equal(first.base, second.base));
	assert(
	    first.next.incarnation == second.next.incarnation && first.next.cluster == second.next.cluster);
	assert(bytes_equal(blob_bytes(first.next.founding), blob_bytes(second.next.founding)));
	assert(bytes_equal(blob_bytes(first.others), blob_bytes(second.others)));
	refound_free(&first);
	refound_free(&second);
}

static void try_repair(struct disk *d)
{
	struct repair_note first, second;

	if (repair_read(&first, d) != ERR_OK)
		return;
	assert(repair_write(&first, d) == ERR_OK && repair_read(&second, d) == ERR_OK);
	assert(first.stage == second.stage && first.part == second.part);
	assert(strcmp(first.why, second.why) == 0 && strcmp(first.aside, second.aside) == 0);
	assert(strcmp(first.others, second.others) == 0);
	repair_note_free(&first);
	repair_note_free(&second);
}

static void try_file(struct bytes file)
{
	struct fake_disk *disk = fake_disk_new();

	fake_disk_put(disk, "unfinished", file);
	fake_disk_put(disk, "repair", file);
	try_unfinished(fake_disk_of(disk));
	try_repair(fake_disk_of(disk));
	fake_disk_free(disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_sealed(bytes_of(data, size), try_file);
	return 0;
}
