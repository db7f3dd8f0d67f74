module.exports = 'leaf 3.0.0-beta.1';
