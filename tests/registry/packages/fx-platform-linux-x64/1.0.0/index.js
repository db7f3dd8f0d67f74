module.exports = 'linux-x64';
