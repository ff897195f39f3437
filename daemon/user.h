#ifndef DAEMON_USER_H
#define DAEMON_USER_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Whom the workers run as. Started as root, the supervisor stays root, binds the ports and makes the directories; the
 * workers, which read what strangers send, are the user of [node] user and have no privilege of any kind. Started as
 * anybody else, all processes are that user.
 */
struct user {
	bool drop; /* another one than this process is */
	uid_t uid;
	gid_t gid;
};

/* The user of this name, or this process's own where the name is empty or this process is not root's. Ends the process
 * with 78 where there is no such user. This process gives up its supplementary groups if it is to drop. */
struct user user_find(const char *name);

/* For people: the name and, in brackets, the number; where it has no name the number alone. The caller frees it. */
char *user_name(uid_t uid);

/* To see the files as that user sees them, and back. What is reached through a directory that belongs to the user must
 * not be touched otherwise: it may be a link to anywhere. */
void user_become(const struct user *u);
void user_return(const struct user *u);

/* In a child, before exec: for good, without any capability. Everybody gives up gaining privileges by an exec. False
 * with errno set. */
bool user_drop(const struct user *u);

#endif
