module.exports = 'linux-x64-musl';
