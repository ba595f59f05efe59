import { mount } from 'svelte';
import App from './App.svelte';
import './app.css';
import { load_renderer } from './markdown/view';
import { app } from './stores/app.svelte';
import { list } from './stores/list.svelte';

void app.start();
void list.load();
mount(App, { target: document.getElementById('app')! });
void load_renderer();
