// Packed weights: 16 outputs side by side, so that a vector lane is an output and K runs in order.
//
// A PackedMatrix is a row of panels; a panel holds 16 outputs (the last one padded with zeros) and
// all of K, in groups of 256 values that lie one after the other, each starting on a cache line:
// a product streams it once, front to back. The bytes a weight takes are those of the file's own
// format, but for the rare formats, which are widened to 8 bits. All instruction sets read the same
// panels. panel_quant() and its sisters say where each value is; they are the definition, and the
// kernels under cpu/ unpack the same bytes faster.
//
// Immutable once packed: any number of threads may read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/memory.h"
#include "core/result.h"
#include "core/thread_pool.h"
#include "kernels/panel_format.h"
#include "quant/format.h"
#include "quant/weight.h"

namespace minke {

inline constexpr int64_t kPanelOutputs = 16;

PanelFormat panel_format_of(QuantType type);
bool is_quantised(PanelFormat format);

// Fails when a row of `weight` holds an infinite or NaN weight, and names it. For rows that are
// used in place: PackedMatrix::pack() looks by itself.
Status check_finite(const Weight& weight, ThreadPool& pool);

class PackedMatrix : public PackedWeight {
 public:
  // `weight` has rows. Panels are packed in parallel, into memory of `arena`. Fails when memory is
  // short, or when in_dim does not fit the format's blocks.
  static Result<std::shared_ptr<PackedMatrix>> pack(const Weight& weight, ThreadPool& pool,
                                                    Arena& arena);
  // Into the same memory again, after an optimiser has changed the rows.
  void repack(const Weight& weight, ThreadPool& pool);
  // A matrix of whole panels in memory that is another's, and outlives it: panels() *
  // panel_bytes(), filled by pack_panels(). Copies share it.
  static PackedMatrix over(QuantType type, int64_t out_dim, int64_t in_dim, std::byte* memory);
  // Packs panels [begin, end), whose rows of `type` begin at `rows`. Looks at no value: see
  // find_non_finite(). Disjoint ranges may be packed by several threads.
  void pack_panels(QuantType type, const std::byte* rows, int64_t begin, int64_t end);

  PanelFormat format() const { return format_; }
  int64_t out_dim() const { return out_dim_; }
  int64_t in_dim() const { return in_dim_; }
  int64_t panels() const { return (out_dim_ + kPanelOutputs - 1) / kPanelOutputs; }
  const std::byte* panel(int64_t index) const { return first_ + index * panel_bytes_; }
  int64_t panel_bytes() const { return panel_bytes_; }
  size_t bytes() const override { return data_.size(); }

 private:
  PanelFormat format_ = PanelFormat::kF32;
  int64_t out_dim_ = 0;
  int64_t in_dim_ = 0;
  int64_t panel_bytes_ = 0;
  std::byte* first_ = nullptr;  // the first panel
  Buffer data_;                 // owns the panels, unless they are another's
};

// Bytes of a panel with `in_dim` values an output.
int64_t panel_bytes_for(PanelFormat format, int64_t in_dim);
// Bytes of a group of `runs` runs; super-block formats: 8 runs.
int64_t group_bytes(PanelFormat format, int64_t runs);
// Where the groups of a panel begin (after the scales that Q6_K keeps apart).
int64_t panel_header_bytes(PanelFormat format, int64_t in_dim);

// Offsets inside a group of a format with a scale for each run: minimums (where there are any), the
// first run's quants, and from one run to the next. run_places() is for those formats only.
struct RunPlaces {
  int64_t min = 0;
  int64_t payload = 0;
  int64_t run_bytes = 0;
};
RunPlaces run_places(PanelFormat format, int64_t runs);
bool is_super_block(PanelFormat format);
// Value k of output o in bytes [K / 4][16][4].
inline constexpr int64_t byte_place(int64_t o, int64_t k) { return k / 4 * 64 + o * 4 + k % 4; }

// --- The definition of the layout -------------------------------------------------------------
// `group` points at group `g` of a panel, o in [0, 16), k in [0, 32 * runs).

// The quant without its offset: (q - 8) for Q4_0 and so on.
int panel_quant(PanelFormat format, const std::byte* group, int64_t runs, int64_t o, int64_t k);
// Scale and minimum of a run (formats with one scale a run).
float panel_run_scale(PanelFormat format, const std::byte* group, int64_t runs, int64_t o,
                      int64_t run);
float panel_run_min(PanelFormat format, const std::byte* group, int64_t runs, int64_t o,
                    int64_t run);
// Super-blocks: integer scale and minimum of each 16 values, and their fp32 factors.
int panel_sub_scale(PanelFormat format, const std::byte* group, int64_t o, int64_t sub);
int panel_sub_min(PanelFormat format, const std::byte* group, int64_t o, int64_t sub);
float panel_super_scale(PanelFormat format, const std::byte* panel, int64_t in_dim, int64_t g,
                        int64_t o);
float panel_super_min(PanelFormat format, const std::byte* group, int64_t o);

// Value k of output o of a float panel.
float panel_float(PanelFormat format, const std::byte* panel, int64_t o, int64_t k);

}  // namespace minke
