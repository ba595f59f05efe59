// The conversations' tokens (timelines.h) on the disk: without them a restarted server would
// tokenise a history anew, and not find everything that the page file has of it.
//
// "minkeTL1", count, then each as mark, text, tokens, cuts (lengths before them, little-endian 64
// bits), and a SHA-256 of all before it. Written whole under another name, then renamed. What is
// not whole is no file. Any thread, one at a time a file.
#pragma once

#include <string>

#include "core/result.h"
#include "server/chat/timelines.h"

namespace minke::server {

Status store_timelines(const Timelines& timelines, const std::string& path);
// An error where there is a file and it cannot be trusted: then nothing is taken of it.
Status load_timelines(Timelines& timelines, const std::string& path);

}  // namespace minke::server
