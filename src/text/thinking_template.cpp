#include "text/thinking_template.h"

namespace minke {

std::string thinking_template(const ChatTemplate& base) {
  if (base.traits().knows_thinking) return base.source();
  return base.source() +
         "{%- if add_generation_prompt %}"
         "{%- if enable_thinking is defined and not enable_thinking %}"
         "{{- '<think>\\n\\n</think>\\n\\n' }}"
         "{%- else %}"
         "{{- '<think>\\n' }}"
         "{%- endif %}"
         "{%- endif %}";
}

}  // namespace minke
