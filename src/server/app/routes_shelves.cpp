// Folders, presets and preferences.
#include "server/app/handling.h"

namespace minke::server {
namespace {

void list_folders(history::Store& store, const Call& call) {
  const auto folders = store.folders();
  if (!folders) return call.fail(app_error(folders.error()));
  call.respond(Value(Value::Object{{"folders", array_of(*folders)}}));
}

void list_presets(history::Store& store, const Call& call) {
  const auto presets = store.presets();
  if (!presets) return call.fail(app_error(presets.error()));
  call.respond(Value(Value::Object{{"presets", array_of(*presets)}}));
}

void create_folder(App& app, history::Store& store, const Call& call) {
  if (respond_with(call, store.create_folder(text_member(call.body, "name"))))
    app.tell_shelves(store, true);
}

void change_folder(App& app, history::Store& store, const Call& call) {
  if (respond_with(call, store.change_folder(call.path.front(), maybe_text(call.body, "name"),
                                             maybe_integer(call.body, "position"))))
    app.tell_shelves(store, true);
}

void create_preset(App& app, history::Store& store, const Call& call) {
  if (respond_with(call,
                   store.create_preset(text_member(call.body, "name"), settings_member(call.body))))
    app.tell_shelves(store, false);
}

void change_preset(App& app, history::Store& store, const Call& call) {
  std::optional<Value> settings;
  if (const Value* given = member(call.body, "settings")) settings = *given;
  if (respond_with(call, store.change_preset(call.path.front(), maybe_text(call.body, "name"),
                                             settings, maybe_integer(call.body, "position"))))
    app.tell_shelves(store, false);
}

void show_preferences(history::Store& store, const Call& call) {
  const auto preferences = store.preferences();
  if (!preferences) return call.fail(app_error(preferences.error()));
  call.respond(*preferences);
}

void set_preferences(history::Store& store, const Call& call) {
  const Status status = store.set_preferences(call.body);
  if (!status) return call.fail(app_error(status.error()));
  call.respond(call.body);
}

const Shape kName = Shape::string().at_least(1).at_most(256);
const Shape kPosition = Shape::integer(-(int64_t{1} << 40), int64_t{1} << 40);

// The four routes of one kind of shelf.
template <typename List, typename Create, typename Change, typename Remove>
Routes shelf_routes(App& app, const std::string& kind, const std::string& Kind, const Shape& shape,
                    List list, Create create, Change change, Remove remove) {
  const std::string all = "/app/v1/" + kind + "s";
  const std::string one = all + "/{id}";
  std::vector<Member> created = {required("name", kName)};
  std::vector<Member> changed = {optional("name", kName), optional("position", kPosition)};
  if (kind == "preset") {
    created.push_back(optional("settings", settings_shape()));
    changed.push_back(optional("settings", settings_shape()));
  }
  constexpr size_t kBody = size_t{4} << 20;
  return {{.method = "GET",
           .path = all,
           .id = "appList" + Kind + "s",
           .summary = "All " + kind + "s, in their order",
           .tag = "App",
           .answers = {{.description = "All",
                        .shape = Shape::object({required(kind + "s", Shape::array(shape, 1000))})}},
           .handle = on_history(app, list)},
          {.method = "POST",
           .path = all,
           .id = "appCreate" + Kind,
           .summary = "Make a " + kind,
           .tag = "App",
           .body = Shape::object(created),
           .body_bytes_max = kBody,
           .answers = {{.description = "The new one", .shape = shape}},
           .handle = on_history(
               app, [&app, create](auto& store, auto& call) { create(app, store, call); })},
          {.method = "PATCH",
           .path = one,
           .id = "appChange" + Kind,
           .summary = "Change what is given",
           .tag = "App",
           .body = Shape::object(changed),
           .body_bytes_max = kBody,
           .answers = {{.description = "As it is now", .shape = shape}, missing_answer()},
           .handle = on_history(
               app, [&app, change](auto& store, auto& call) { change(app, store, call); })},
          {.method = "DELETE",
           .path = one,
           .id = "appDelete" + Kind,
           .summary = "Delete a " + kind,
           .tag = "App",
           .answers = {gone_answer(), missing_answer()},
           .handle = on_history(app, remove)}};
}

}  // namespace

Routes app_shelf_routes(App& app) {
  Routes routes = shelf_routes(app, "folder", "Folder", folder_shape(), list_folders, create_folder,
                               change_folder, [&app](history::Store& store, const Call& call) {
                                 if (respond_gone(call, store.delete_folder(call.path.front())))
                                   app.tell_shelves(store, true);
                               });
  for (Route& route :
       shelf_routes(app, "preset", "Preset", preset_shape(), list_presets, create_preset,
                    change_preset, [&app](history::Store& store, const Call& call) {
                      if (respond_gone(call, store.delete_preset(call.path.front())))
                        app.tell_shelves(store, false);
                    }))
    routes.push_back(std::move(route));
  routes.push_back({.method = "GET",
                    .path = "/app/v1/preferences",
                    .id = "appShowPreferences",
                    .summary = "What the app keeps for itself",
                    .tag = "App",
                    .answers = {{.description = "An object of its own", .shape = Shape::map()}},
                    .handle = on_history(app, show_preferences)});
  routes.push_back({.method = "PUT",
                    .path = "/app/v1/preferences",
                    .id = "appSetPreferences",
                    .summary = "Keep another object",
                    .tag = "App",
                    .body = Shape::map(),
                    .answers = {{.description = "The same", .shape = Shape::map()}},
                    .handle = on_history(app, set_preferences)});
  return routes;
}

}  // namespace minke::server
