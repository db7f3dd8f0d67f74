#!/usr/bin/env node
console.log('hello from fx-bin', process.argv.slice(2).join(' '));
