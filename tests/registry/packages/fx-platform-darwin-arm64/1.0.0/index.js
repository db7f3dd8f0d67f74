module.exports = 'darwin-arm64';
