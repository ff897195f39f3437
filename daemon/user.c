#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "daemon/user.h"

struct user user_find(const char *name)
{
	struct user u = { .uid = geteuid(), .gid = getegid() };
	const struct passwd *p;

	if (name[0] == '\0' || u.uid != 0)
		return u;
	errno = 0;
	p = getpwnam(name);
	if (p == NULL && errno != 0)
		fatal(EX_OSERR, "cannot look up the user %s ([node] user)", name);
	if (p == NULL)
		fatalx(EX_CONFIG, "there is no user %s ([node] user)", name);
	u = (struct user){ .drop = p->pw_uid != 0, .uid = p->pw_uid, .gid = p->pw_gid };
	if (u.drop && setgroups(0, NULL) == -1)
		fatal(EX_NOPERM, "cannot give up supplementary groups");
	return u;
}

char *user_name(uid_t uid)
{
	const struct passwd *p = getpwuid(uid);

	return p == NULL ? xasprintf("%u", (unsigned)uid) : xasprintf("%s (%u)", p->pw_name, (unsigned)uid);
}

void user_become(const struct user *u)
{
	if (u->drop && (setegid(u->gid) == -1 || seteuid(u->uid) == -1))
		fatal(EX_NOPERM, "cannot become user %s", user_name(u->uid));
}

void user_return(const struct user *u)
{
	int saved = errno;

	if (u->drop && (seteuid(0) == -1 || setegid(0) == -1))
		fatal(EX_NOPERM, "cannot become root again");
	errno = saved;
}

/* What no exec can give back. The kernel may know more capabilities than this was compiled with. */
static bool empty_bounding_set(void)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == -1)
			return false;
	return true;
}

bool user_drop(const struct user *u)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return false;
	if (!u->drop)
		return true;
	/* From root to another user all three sets of capabilities become empty (capabilities(7)). */
	return empty_bounding_set() && setgroups(0, NULL) == 0 && setresgid(u->gid, u->gid, u->gid) == 0 &&
	       setresuid(u->uid, u->uid, u->uid) == 0;
}
